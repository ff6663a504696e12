"""Local mode: one run on an embedded NATS server, with the very engine and projector of a cluster."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.engine import Executor, WorkflowRunner
from workflow_operator.engine.driving.script import LogSink
from workflow_operator.history import Commit, InstanceEvent, InstanceKey, InstanceStatus, Origin
from workflow_operator.history.errors import InvalidInput, Unavailable
from workflow_operator.jetstream import Connection, EmbeddedServer, JetStreamDataBus

if TYPE_CHECKING:
    from pydantic import JsonValue

_KEPT_RUNS = 50
_POLL_SECONDS = 0.02
_SERVER = "nats"
_ABOUT = "run.json"
_LOCK = "lock"
_URL = "nats-url"


@dataclass(frozen=True)
class LocalRun:
    """What to run: a script, and whose name it runs under."""

    namespace: str
    name: str
    script: str
    entrypoint: str | None
    input: JsonValue


def state_folder() -> Path:
    """Where local runs keep their histories: ``$XDG_STATE_HOME/workflow-operator/runs``.

    Raises:
        InvalidInput: neither that nor a home folder is known.
    """
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise InvalidInput(f"no folder for local runs: {error} Set XDG_STATE_HOME") from error
    return Path(base) / "workflow-operator" / "runs"


@dataclass(frozen=True)
class LocalEnd:
    """How a run ended, and what is different when its script runs again (see workflow_operator.engine.rehearse)."""

    status: InstanceStatus
    differs: str | None


async def run_locally(
    run: LocalRun, instance_id: UUID, on_event: Callable[[InstanceEvent], None], log: LogSink, stop: asyncio.Event
) -> LocalEnd:
    """Run to the end, and then once more from its history. Setting ``stop`` cancels the run, within
    ``shutdown_seconds``.

    Args:
        on_event: called for each event as it appears in the history.
        log: called for each line that the script prints.

    Raises:
        InvalidInput: the script or its input cannot be accepted, no nats-server is installed, or the state folder
            cannot be written.
        Unavailable: the run did not end in time after ``stop``.
    """
    execution = _Execution(run, InstanceKey(run.namespace, instance_id), on_event, log, stop)
    seconds = Settings().shutdown_seconds
    deadline = asyncio.timeout(None)
    limit = asyncio.create_task(_expire_once_stopped(deadline, stop, seconds))
    try:
        async with deadline:
            return await execution.run()
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise Unavailable(f"instance {execution.key}: interrupted, and did not end within {seconds:g} s") from error
    finally:
        limit.cancel()


async def _expire_once_stopped(deadline: asyncio.Timeout, stop: asyncio.Event, seconds: float) -> None:
    await stop.wait()
    deadline.reschedule(asyncio.get_running_loop().time() + seconds)


class _Execution:
    """One local run, from its folder to its last status."""

    def __init__(
        self,
        run: LocalRun,
        key: InstanceKey,
        on_event: Callable[[InstanceEvent], None],
        log: LogSink,
        stop: asyncio.Event,
    ) -> None:
        self.key = key
        self._run = run
        self._on_event = on_event
        self._log = log
        self._stop = stop
        self._last: asyncio.Future[InstanceEvent] = asyncio.get_running_loop().create_future()
        self._projected = asyncio.Event()
        self._differs: str | None = None

    async def run(self) -> LocalEnd:
        with _new_folder(self.key.instance_id) as folder:
            _prune(state_folder())
            async with _server(folder) as settings, roles.transport(settings, "run") as plain:
                transport = replace(plain, bus=_TellingBus(plain.connection, self._tell))
                await self._run_roles(folder, settings, transport)
                return LocalEnd((await transport.bus.query_statuses([self.key]))[self.key], self._differs)

    async def _run_roles(self, folder: Path, settings: Settings, transport: roles.Transport) -> None:
        async with (
            roles.executor(transport, settings, self._log) as executor,
            roles.membership(transport, settings, "projectors") as members,
        ):
            runner = roles.workflow_runner(transport, settings.engine_limits())
            await self._start(runner, folder)
            parts = {
                "executor": executor.run(),
                "timers": transport.queue.run(),
                "projector": roles.projector(transport, members).start(),
                "interrupt": self._cancel_when_stopped(runner),
                "end": self._wait_for_end(transport, executor),
            }
            await roles.run_until_stopped(parts, self._projected, settings.shutdown_seconds)

    async def _start(self, runner: WorkflowRunner, folder: Path) -> None:
        run, instance_id = self._run, self.key.instance_id
        origin = Origin(cluster="local", name=run.name)
        await runner.execute(
            run.namespace, run.script, run.entrypoint, run.input, instance_id=instance_id, origin=origin
        )
        # Only now: a refused run must not hide the last good one of its name.
        about = {"namespace": run.namespace, "name": run.name, "instanceID": str(instance_id)}
        with _writing(folder):
            (folder / _ABOUT).write_text(json.dumps(about))

    def _tell(self, event: InstanceEvent) -> None:
        self._on_event(event)
        if event.terminal:
            self._last.set_result(event)

    async def _cancel_when_stopped(self, runner: WorkflowRunner) -> None:
        await self._stop.wait()
        await runner.cancel(self.key, "interrupted")
        await asyncio.Event().wait()

    async def _wait_for_end(self, transport: roles.Transport, executor: Executor) -> None:
        last = await self._last
        if not self._stop.is_set():
            self._differs = await executor.rehearse(await transport.bus.query_history(self.key))
        await _status_at(transport, self.key, last.sequence)
        self._projected.set()
        await asyncio.Event().wait()


class _TellingBus(JetStreamDataBus):
    """Tells of each event once it is stored, before anything follows from it."""

    def __init__(self, connection: Connection, tell: Callable[[InstanceEvent], None]) -> None:
        super().__init__(connection)
        self._tell = tell

    async def append(self, events: Commit, expected: int) -> list[InstanceEvent]:
        stored = await super().append(events, expected)
        for event in stored:
            self._tell(event)
        return stored


async def _status_at(transport: roles.Transport, key: InstanceKey, sequence: int) -> None:
    while True:
        status = (await transport.bus.query_statuses([key])).get(key)
        if status is not None and status.history_sequence >= sequence:
            return
        await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def local_history(
    namespace: str | None, name: str
) -> AsyncIterator[tuple[Settings, InstanceKey, datetime] | None]:
    """The settings to reach the history of an earlier local run, its key, and when it began; None if there is none.

    ``name`` is that of the run (of several the latest counts), or the instance's ID.
    """
    found = latest(namespace, name)
    if found is None:
        yield None
        return
    folder, key = found
    begun = datetime.fromtimestamp((folder / _ABOUT).stat().st_mtime, UTC).replace(microsecond=0)
    with _writing(folder):
        lock = _lock(folder)
    if lock is None:
        # It is going on: two servers on one store would spoil it.
        yield Settings(nats_url=(folder / _URL).read_text()), key, begun
        return
    try:
        async with _server(folder) as settings:
            yield settings, key, begun
    finally:
        os.close(lock)


def latest(namespace: str | None, name: str) -> tuple[Path, InstanceKey] | None:
    """The folder and the key of the latest local run of that name, or of that ID; None if there is none."""
    for folder in sorted(state_folder().glob("*/"), key=_modified, reverse=True):
        about = json.loads((folder / _ABOUT).read_text()) if (folder / _ABOUT).exists() else None
        if about and namespace in (None, about["namespace"]) and name in (about["instanceID"], about["name"]):
            return folder, InstanceKey(about["namespace"], UUID(about["instanceID"]))
    return None


def goes_on(namespace: str | None, name: str) -> bool:
    """Whether the latest local run of that name, or of that ID, has not ended yet."""
    found = latest(namespace, name)
    if found is None:
        return False
    with _writing(found[0]):
        lock = _lock(found[0])
    if lock is None:
        return True
    os.close(lock)
    return False


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[Settings]:
    server = EmbeddedServer(folder / _SERVER, sync_always=False)
    with _writing(folder):
        await server.start()
        (folder / _URL).write_text(server.url)
    try:
        # One run takes one place, and each further sandbox is a process with a V8 of its own. Its requests are those of
        # who runs it, and may go where his own may, unless he says otherwise.
        told = Settings()
        anywhere = {} if told.egress_allow or told.egress_deny else {"egress_allow": "0.0.0.0/0, ::/0"}
        yield Settings(nats_url=server.url, executor_slots=1, **anywhere)
    finally:
        await server.stop()


@contextmanager
def _new_folder(instance_id: UUID) -> Iterator[Path]:
    """A folder that is not pruned meanwhile, and removed if no run was started in it."""
    folder = state_folder() / str(instance_id)
    with _writing(folder):
        folder.mkdir(parents=True)
        lock = _lock(folder)
    try:
        yield folder
    finally:
        if not (folder / _ABOUT).exists():
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInput(
            f"the folder {folder} cannot be written: {error}; set XDG_STATE_HOME to a folder that can"
        ) from error


def _lock(folder: Path) -> int | None:
    """The descriptor that holds the folder; None if a process holds it. A process that is killed lets it go.

    Raises:
        OSError: no lock can be made there.
    """
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def _prune(runs: Path) -> None:
    for old in sorted(runs.glob("*/"), key=_modified, reverse=True)[_KEPT_RUNS:]:
        with suppress(OSError):
            lock = _lock(old)
            if lock is not None:
                shutil.rmtree(old, ignore_errors=True)
                os.close(lock)


def _modified(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # pruned meanwhile
