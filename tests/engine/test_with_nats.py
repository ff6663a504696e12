"""Executors on a real queue, with sandboxes that need no process: what is left in it, and who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from tests.fakes.polling import eventually
from tests.fakes.sandbox import FakeSandboxes, FakeSession, ScriptBody, does, returns, sleep
from workflow_operator.engine import EngineLimits, Executor, SystemClock, WorkflowRunner
from workflow_operator.engine.drive import DriveContext
from workflow_operator.engine.write import EventWriter
from workflow_operator.history import EventType, InstanceKey
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connection import Connection
from workflow_operator.jetstream.queue import JetStreamWorkQueue
from workflow_operator.jetstream.server import EmbeddedServer

pytestmark = pytest.mark.integration


class ByNamespace(FakeSandboxes):
    """Each namespace has a script of its own; one that has none computes for ever."""

    def __init__(self, **scripts: Callable[[Any], ScriptBody]) -> None:
        super().__init__(returns)
        self._scripts = scripts
        self.computing = 0

    @asynccontextmanager
    async def session(self, namespace: str) -> AsyncIterator[Any]:
        if namespace not in self._scripts:
            self.computing += 1
            await asyncio.Event().wait()
        yield FakeSession(self._scripts[namespace])


async def nobody(_: Collection[str]) -> Collection[str]:
    return ()


class Installation:
    def __init__(self, bus: JetStreamDataBus, queue: JetStreamWorkQueue, sandboxes: FakeSandboxes) -> None:
        writer, limits = EventWriter(SystemClock(), uuid4), EngineLimits()
        self.bus, self.queue = bus, queue
        self.runner = WorkflowRunner(bus, queue, writer, limits)
        self.executor = Executor(
            DriveContext(
                bus=bus,
                queue=queue,
                sandboxes=sandboxes,
                writer=writer,
                limits=limits,
                executor_id="executor-1",
                log=lambda *_: None,
                alive=nobody,
            )
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.executor.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def start(self, namespace: str, count: int) -> list[InstanceKey]:
        ids = await asyncio.gather(*(self.runner.execute(namespace, "source") for _ in range(count)))
        return [InstanceKey(namespace, instance_id) for instance_id in ids]

    async def types(self, key: InstanceKey) -> list[EventType]:
        return [event.type for event in await self.bus.query_history(key)]


async def messages(connection: Connection) -> dict[str, int]:
    return {
        name: (await connection.api(f"STREAM.INFO.{name}", {}))["state"]["messages"] for name in ("QUEUE", "TIMERS")
    }


async def test_sleeping_runs_that_are_cancelled_leave_nothing(
    connection: Connection, bus: JetStreamDataBus, queue: JetStreamWorkQueue
) -> None:
    installation = Installation(bus, queue, FakeSandboxes(does(sleep(1_000_000_000))))
    async with installation.running():
        keys = [key for team in range(10) for key in await installation.start(f"team-{team}", 50)]

        async def asleep() -> bool:
            return await messages(connection) == {"QUEUE": 0, "TIMERS": 500}

        await eventually(asleep, deadline_seconds=90)
        await asyncio.gather(*(installation.runner.cancel(key, "deleted") for key in keys))

        async def nothing_is_left() -> bool:
            return await messages(connection) == {"QUEUE": 0, "TIMERS": 0}

        await eventually(nothing_is_left, deadline_seconds=90)
        assert [(await installation.types(key))[-1] for key in keys] == [EventType.CANCELLED] * 500


@pytest.mark.parametrize("hog", ["team-a", "computing"])
async def test_a_hello_is_done_beside_a_backlog_of_another_namespace(
    bus: JetStreamDataBus, queue: JetStreamWorkQueue, hog: str
) -> None:
    naps = does(*[sleep(4)] * 1000)
    # tenant-5 is in the lane of team-a.
    sandboxes = ByNamespace(**{"team-a": naps, "hello": returns, "tenant-5": returns})
    installation = Installation(bus, queue, sandboxes)
    await installation.start(hog, 300)
    async with installation.running():
        await eventually(lambda: installation.executor.running >= 6)
        for namespace in ("hello", "tenant-5"):
            (key,) = await installation.start(namespace, 1)

            async def done(key: InstanceKey = key) -> bool:
                return (await installation.types(key))[-1] is EventType.SUCCEEDED

            await eventually(done, deadline_seconds=30)


async def test_a_run_is_not_taken_from_its_executor_while_nats_is_away(
    nats_server: EmbeddedServer, bus: JetStreamDataBus, queue: JetStreamWorkQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """The ack wait is one second here, so that its message is delivered again and again."""
    caplog.set_level("INFO")
    sandboxes = ByNamespace()
    installation = Installation(bus, queue, sandboxes)
    async with installation.running():
        (key,) = await installation.start("computing", 1)
        await eventually(lambda: sandboxes.computing == 1)
        for outage in range(3):
            nats_server.kill()
            await nats_server.start()
            again = f"instance {key}: delivered again to who drives it"
            await eventually(lambda least=outage + 1, again=again: caplog.text.count(again) >= least)
        assert installation.executor.running == 1
    assert sandboxes.computing == 1
    assert await installation.types(key) == [EventType.STARTED]
