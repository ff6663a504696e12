"""Local mode: one run on an embedded NATS server, with the very engine and projector of a cluster."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from pydantic import JsonValue

from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.engine.script import LogSink
from workflow_operator.history import InstanceEvent, InstanceKey, InstanceStatus, Origin
from workflow_operator.jetstream import Connection, EmbeddedServer, JetStreamDataBus

_KEPT_RUNS = 50
_POLL_SECONDS = 0.02
_SERVER = "nats"
_ABOUT = "run.json"


@dataclass(frozen=True)
class LocalRun:
    """What to run: a script, and whose name it runs under."""

    namespace: str
    name: str
    script: str
    entrypoint: str | None
    input: JsonValue


def state_folder() -> Path:
    """Where local runs keep their histories: ``$XDG_STATE_HOME/workflow-operator/runs``."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "workflow-operator" / "runs"


async def run_locally(
    run: LocalRun, instance_id: UUID, on_event: Callable[[InstanceEvent], None], log: LogSink, stop: asyncio.Event
) -> InstanceStatus:
    """Run to the end, and return the final status. Setting ``stop`` cancels the run.

    Args:
        on_event: called for each event as it appears in the history.
        log: called for each line that the script prints.

    Raises:
        InvalidInput: the script or its input cannot be accepted, or no nats-server is installed.
    """
    folder = state_folder() / str(instance_id)
    folder.mkdir(parents=True)
    about = {"namespace": run.namespace, "name": run.name, "instanceID": str(instance_id)}
    (folder / _ABOUT).write_text(json.dumps(about))
    _prune(state_folder())
    key = InstanceKey(run.namespace, instance_id)
    last: asyncio.Future[InstanceEvent] = asyncio.get_running_loop().create_future()

    def tell(event: InstanceEvent) -> None:
        on_event(event)
        if event.terminal:
            last.set_result(event)

    async with _server(folder) as settings, roles.transport(settings, "run") as plain:
        transport = replace(plain, bus=_TellingBus(plain.connection, tell))
        async with (
            roles.executor(transport, settings, log) as executor,
            roles.membership(transport, settings, "projectors") as members,
        ):
            runner = roles.workflow_runner(transport, settings.engine_limits())
            origin = Origin(cluster="local", name=run.name)
            await runner.execute(
                run.namespace, run.script, run.entrypoint, run.input, instance_id=instance_id, origin=origin
            )

            async def cancel_when_stopped() -> None:
                await stop.wait()
                await runner.cancel(key, "interrupted")
                await asyncio.Event().wait()

            projected = asyncio.Event()

            async def wait_for_end() -> None:
                await _status_at(transport, key, (await last).sequence)
                projected.set()
                await asyncio.Event().wait()

            parts = {
                "executor": executor.run(),
                "timers": transport.queue.run(),
                "projector": roles.projector(transport, members).start(),
                "interrupt": cancel_when_stopped(),
                "end": wait_for_end(),
            }
            await roles.run_until_stopped(parts, projected, settings.shutdown_seconds)
        return (await transport.bus.query_statuses([key]))[key]


class _TellingBus(JetStreamDataBus):
    """Tells of each event once it is stored, before anything follows from it."""

    def __init__(self, connection: Connection, tell: Callable[[InstanceEvent], None]) -> None:
        super().__init__(connection)
        self._tell = tell

    async def push_instance_event(self, event: InstanceEvent, expected: int) -> InstanceEvent:
        stored = await super().push_instance_event(event, expected)
        self._tell(stored)
        return stored


async def _status_at(transport: roles.Transport, key: InstanceKey, sequence: int) -> None:
    while True:
        status = (await transport.bus.query_statuses([key])).get(key)
        if status is not None and status.history_sequence >= sequence:
            return
        await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def local_history(name: str) -> AsyncIterator[tuple[Settings, InstanceKey] | None]:
    """The settings to reach the history of an earlier local run, and its key; None if there is none of that name.

    ``name`` is ``NAMESPACE/NAME`` (its latest run) or an instance ID.
    """
    found = _find(name)
    if found is None:
        yield None
        return
    folder, about = found
    async with _server(folder) as settings:
        yield settings, InstanceKey(about["namespace"], UUID(about["instanceID"]))


def _find(name: str) -> tuple[Path, dict[str, str]] | None:
    for folder in sorted(state_folder().glob("*/"), key=_modified, reverse=True):
        about = json.loads((folder / _ABOUT).read_text()) if (folder / _ABOUT).exists() else None
        if about and name in (about["instanceID"], f"{about['namespace']}/{about['name']}"):
            return folder, about
    return None


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[Settings]:
    server = EmbeddedServer(folder / _SERVER, sync_always=False)
    await server.start()
    try:
        yield Settings(nats_url=server.url)
    finally:
        await server.stop()


def _prune(runs: Path) -> None:
    for old in sorted(runs.glob("*/"), key=_modified, reverse=True)[_KEPT_RUNS:]:
        shutil.rmtree(old, ignore_errors=True)


def _modified(folder: Path) -> float:
    return folder.stat().st_mtime
