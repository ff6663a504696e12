"""Executors on a real queue, with sandboxes that need no process: what is left in it, and who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from tests.fakes.http import NoHttp
from tests.fakes.polling import eventually
from tests.fakes.sandbox import FakeSandboxes, FakeSession, ScriptBody, does, returns, sleep, transition
from tests.fakes.world import check
from workflow_operator.engine import EngineLimits, Executor, SystemClock, WorkflowRunner
from workflow_operator.engine.driving.drive import DriveContext
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.history import EventType, InstanceKey
from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.queue import JetStreamWorkQueue

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
    def __init__(
        self,
        bus: JetStreamDataBus,
        queue: JetStreamWorkQueue,
        sandboxes: FakeSandboxes,
        *,
        name: str = "executor-1",
        slots: int = EngineLimits().slots,
    ) -> None:
        writer, limits = EventWriter(SystemClock(), uuid4), EngineLimits(slots=slots)
        self.bus, self.queue = bus, queue
        self.executor = Executor(
            DriveContext(
                bus=bus,
                queue=queue,
                sandboxes=sandboxes,
                writer=writer,
                limits=limits,
                executor_id=name,
                log=lambda *_: None,
                alive=nobody,
                http=NoHttp(),
            )
        )
        self.runner = WorkflowRunner(bus, queue, writer, limits, self.executor)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.executor.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def start(self, namespace: str, count: int, *, first: bool = False) -> list[InstanceKey]:
        ids = await asyncio.gather(*(self.runner.execute(namespace, "source", first=first) for _ in range(count)))
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


class Late(FakeSandboxes):
    """Its script begins once it may."""

    def __init__(self, script: Callable[[Any], ScriptBody]) -> None:
        super().__init__(script)
        self.may = asyncio.Event()

    @asynccontextmanager
    async def session(self, namespace: str) -> AsyncIterator[Any]:
        async with super().session(namespace) as session:
            await self.may.wait()
            yield session


async def test_a_run_whose_holder_the_server_forgot_is_done_once(
    nats_server: EmbeddedServer, connection: Connection, bus: JetStreamDataBus
) -> None:
    """A second executor gets it as if it were the first: nothing but `started` is in its history, and deliveries count
    from one again. Of the two that drive it then, the slower one stops at its first append, and takes nothing along."""
    script = does(transition("next"))
    late = Late(script)
    # With one slot it takes nothing more, and no request of it waits at the server.
    first = Installation(bus, JetStreamWorkQueue(connection), late, name="first", slots=1)
    second = Installation(bus, JetStreamWorkQueue(connection), FakeSandboxes(script), name="second")
    async with first.running():
        (key,) = await first.start("team-a", 1)
        await eventually(lambda: late.open == 1)
        await first.queue.stop_pulling()
        nats_server.kill()
        await nats_server.start()
        async with second.running():

            async def done() -> bool:
                with suppress(Unavailable):
                    return (await second.types(key))[-1] is EventType.SUCCEEDED
                return False

            await eventually(done)
            late.may.set()
            await eventually(lambda: first.executor.running == 0)
    history = await bus.query_history(key)
    assert [event.type for event in history] == [EventType.STARTED, EventType.TRANSITION, EventType.SUCCEEDED]
    assert {event.executor.id for event in history if event.executor} == {"second"}
    assert (await messages(connection))["QUEUE"] == 0


async def stored(connection: Connection, stream: str) -> int:
    """How many messages were ever stored in it."""
    return int((await connection.api(f"STREAM.INFO.{stream}", {}))["state"]["last_seq"])


async def all_ended(installation: Installation, keys: list[InstanceKey]) -> bool:
    histories = [await installation.types(key) for key in keys]
    return all(types and types[-1] is EventType.SUCCEEDED for types in histories)


async def test_a_run_of_one_state_that_starts_beside_a_free_slot_is_one_message(
    connection: Connection, bus: JetStreamDataBus, queue: JetStreamWorkQueue
) -> None:
    installation = Installation(bus, queue, FakeSandboxes(returns))
    before = await stored(connection, "HISTORY")
    async with installation.running():
        await eventually(lambda: installation.executor.open)
        # As many at once as a namespace gets slots and places to wait.
        keys = await installation.start("team-a", 40, first=True)
        await eventually(partial(all_ended, installation, keys))
    assert await stored(connection, "HISTORY") == before + 40
    assert (await stored(connection, "QUEUE"), await stored(connection, "TIMERS")) == (0, 0)


async def test_several_executors_and_their_starts_drive_each_run_once(
    bus: JetStreamDataBus, connection: Connection
) -> None:
    """Each run is started by two of them at once, as when shares move, and one of the two is stopped then."""
    naps = FakeSandboxes(does(transition("a"), sleep(0.3), transition("b"), sleep(0.3)))
    replicas = [
        Installation(bus, JetStreamWorkQueue(connection), naps, name=f"executor-{number}") for number in range(4)
    ]
    keys: list[InstanceKey] = []
    async with AsyncExitStack() as stack:
        for staying in replicas[2:]:
            await stack.enter_async_context(staying.running())
        # Whoever finds others waiting gives up its slot at a sleep.
        timers = asyncio.create_task(replicas[2].queue.run())
        stack.callback(timers.cancel)
        for leaving, staying in zip(replicas[:2], replicas[2:], strict=True):
            async with leaving.running():
                await eventually(lambda leaving=leaving: leaving.executor.open)
                for number in range(30):
                    key = InstanceKey(f"team-{number % 3}", uuid4())
                    start = {"instance_id": key.instance_id, "first": True}
                    await asyncio.gather(
                        *(each.runner.execute(key.namespace, "source", **start) for each in (leaving, staying))
                    )
                    keys.append(key)
        await eventually(partial(all_ended, replicas[2], keys), deadline_seconds=60)
    for key in keys:
        check(await bus.query_history(key))


@pytest.mark.parametrize("first", [True, False], ids=["where it starts", "from the queue"])
async def test_a_hello_is_done_beside_starts_of_another_namespace_without_end(
    bus: JetStreamDataBus, queue: JetStreamWorkQueue, first: bool
) -> None:
    installation = Installation(bus, queue, ByNamespace(hello=returns, **{"tenant-6": returns}))
    async with installation.running():
        await eventually(lambda: installation.executor.open)
        # They compute for ever; each that finds no slot waits for one, and is queued then.
        flood = asyncio.create_task(installation.start("computing", 300, first=True))
        await eventually(lambda: installation.executor.running >= 6)
        # tenant-6 is in the lane of computing.
        for namespace in ("hello", "tenant-6"):
            keys = await installation.start(namespace, 1, first=first)
            await eventually(partial(all_ended, installation, keys), deadline_seconds=30)
        await flood
