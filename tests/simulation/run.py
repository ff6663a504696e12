"""One run of the whole engine with everything that may happen to it, made by chance from a seed.

The executors, the tail of the history, replay and fold are the real ones. NATS is in memory, time is virtual, and
nothing is random but what the seed says: the same seed is the same run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from tests.fakes.clock import FakeClock, SkewedClock, settle
from tests.fakes.http import answering
from tests.fakes.memory import MemoryDataBus, MemoryWorkQueue
from tests.simulation import actors
from tests.simulation.network import Line, RemoteBus, RemoteQueue
from tests.simulation.program import program
from tests.simulation.watch import Record, WatchedSession
from workflow_operator.engine import EngineLimits, Executor, WorkflowRunner
from workflow_operator.engine.driving.drive import DriveContext
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.history import InstanceEvent, InstanceKey, InstanceStatus
from workflow_operator.history.errors import EngineCrash
from workflow_operator.http import Answer, Request

NAMESPACE = "team-a"
ANSWERS = (0.01, 0.2, 3.0, 12.0)
_TROUBLE_SECONDS = 40.0
_LIMIT_SECONDS = 2000.0


class Replica:
    """A process with a runner and an executor."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self.simulation = simulation
        random = simulation.random
        self.name = name
        self.sessions: list[WatchedSession] = []
        self.crashes = False
        self.line = Line(name, random, simulation.clock, 0.0 if simulation.calm else simulation.loses)
        error = random.choice((0.0, 0.0, -1.5, 0.7))
        writer = EventWriter(SkewedClock(simulation.clock, lambda: error), simulation.new_id)
        bus: Any = RemoteBus(self.line, simulation.bus, simulation)
        queue: Any = RemoteQueue(self.line, simulation.queue, simulation)
        context = DriveContext(
            bus=bus,
            queue=queue,
            sandboxes=self,
            writer=writer,
            limits=simulation.limits,
            executor_id=name,
            log=self._print,
            alive=simulation.living,
            http=self,
        )
        self.executor = Executor(context)
        self.runner = WorkflowRunner(context.bus, context.queue, writer, simulation.limits, self.executor)
        self.task = asyncio.create_task(self.executor.run())

    async def send(self, request: Request, namespace: str, max_bytes: int) -> Answer:
        """Others answer, in their time; each answer is unlike every other."""
        simulation = self.simulation
        instance, index = request.headers["Idempotency-Key"][:36], request.headers["Idempotency-Key"][37:]
        for session in self.sessions:
            if str(session.record.key.instance_id) == instance:
                simulation.must(session.asks_outside, index)
        simulation.say(f"{self.name} asks for {index}")
        await simulation.clock.sleep(simulation.random.choice(ANSWERS))
        simulation.answers += 1
        return answering(b"%d" % simulation.answers)(request)

    def _print(self, started: InstanceEvent, line: Any) -> None:
        if "NonDeterminism" in line.text:
            self.simulation.failures.append(AssertionError(line.text))
        if not self.line.cut:
            self.simulation.records[started.key].lines.add(line.text)

    @asynccontextmanager
    async def session(self, namespace: str) -> AsyncIterator[Any]:
        session = _Crashing(self)
        try:
            yield session
        finally:
            session.close()


class _Crashing:
    """A session of whatever instance the job names, whose process may die."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._session: WatchedSession

    async def guarded(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return await work()

    async def begin(self, job: Any) -> None:
        simulation = self._replica.simulation
        record = simulation.records[InstanceKey(NAMESPACE, UUID(job.instance_id))]
        self._session = WatchedSession(record, simulation.clock, self._replica.name)
        self._replica.sessions.append(self._session)
        await self._session.begin(job)

    async def next(self) -> Any:
        if self._replica.simulation.sandbox_dies():
            self._replica.crashes = True
            raise EngineCrash("the process died")
        return await self._session.next()

    async def answer(self, value: Any, time_ms: int) -> None:
        await self._session.answer(value, time_ms)

    async def throw(self, name: str, message: str, time_ms: int) -> None:
        await self._session.throw(name, message, time_ms)

    def close(self) -> None:
        if hasattr(self, "_session"):
            self._replica.sessions.remove(self._session)


class Simulation:
    """Everything of one seed. ``trace`` tells what happened."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.clock = FakeClock()
        self.bus = MemoryDataBus(max_payload=random.choice((1200, 2**20)))
        self.queue = MemoryWorkQueue(self.clock)
        self.calm = self.stopped = False
        self.loses = random.choice((0.0, 0.1, 0.3))
        self.limits = EngineLimits(
            slots=random.choice((1, 2)),
            namespace_slots_share=1.0,
            park_after_seconds=random.choice((0.2, 5.0, 1000.0)),
            crash_limit=random.choice((3, 50)),
        )
        self.trace: list[str] = []
        self.failures: list[BaseException] = []
        self.records: dict[InstanceKey, Record] = {}
        self.replicas: list[Replica] = []
        self._ever: list[Replica] = []
        self.troubles = 0
        self.answers = 0
        self._begun = self.clock.now()
        self._dying = random.choice((0.0, 0.0, 0.05))
        self._drawn = 0
        self._actors: list[asyncio.Task[None]] = []
        self._statuses: dict[InstanceKey, InstanceStatus] = {}

    async def run(self) -> None:
        """Raises AssertionError where something does not hold."""
        handler = _Errors(self.failures)
        logging.getLogger("workflow_operator").addHandler(handler)
        try:
            await self._run()
        except AssertionError as error:
            self.failures.append(error)
        finally:
            logging.getLogger("workflow_operator").removeHandler(handler)
            await self._stop()
        for failure in self.failures:
            raise AssertionError(f"{failure}\n" + "\n".join(self.trace)) from failure

    async def _run(self) -> None:
        random = self.random
        for number in range(random.choice((1, 1, 2))):
            key = InstanceKey(NAMESPACE, UUID(int=2**100 + number))
            self.records[key] = record = Record(key, program(random))
            self.say(f"run {number}: {record.program}")
            self._act(actors.own(self, record))
            if random.random() < 0.4:
                self._act(actors.cancel(self, record))
            if random.random() < 0.4:
                self._act(actors.toggle(self, record))
        for _ in range(random.choice((1, 2, 3))):
            self.add_replica()
        self._act(actors.trouble(self, _TROUBLE_SECONDS))
        for _ in range(2):
            self._act(actors.project(self))
        end = self._begun + timedelta(seconds=_LIMIT_SECONDS)
        await settle()
        while not self.failures and not self._over():
            self._look()
            await self.clock.step(end)
        for record in self.records.values():
            if record.commits:
                record.finished(self.troubles, self.limits.crash_limit)

    def _over(self) -> bool:
        return all(record.over and self._shown(record) for record in self.records.values())

    def _shown(self, record: Record) -> bool:
        status = self._statuses.get(record.key)
        return not record.commits or (status is not None and status.terminal)

    def _look(self) -> None:
        for replica in self.replicas:
            if not replica.line.busy and not replica.line.away:
                for session in replica.sessions:
                    self.must(session.at_rest, replica.line.idle_since)

    async def _stop(self) -> None:
        self.stopped = True
        tasks = [*self._actors, *(replica.task for replica in self._ever)]
        for replica in self._ever:
            replica.line.cut = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _act(self, work: Coroutine[Any, Any, None]) -> None:
        async def act() -> None:
            try:
                await work
            except Exception as error:
                self.failures.append(error)

        self._actors.append(asyncio.create_task(act()))

    # --- what it is made of, and what happens to it

    def add_replica(self) -> None:
        replica = Replica(self, f"replica-{len(self._ever) + 1}")
        self._ever.append(replica)
        self.replicas.append(replica)
        self.say(f"{replica.name} begins")

    def kill(self, replica: Replica) -> None:
        """As SIGKILL: nothing it does from now on has an effect, but for what is on its way."""
        if replica in self.replicas:
            self.say(f"{replica.name} is killed")
            self.replicas.remove(replica)
            self.troubles += 1
            replica.line.cut = True
            replica.task.cancel()

    def hand_over(self, replica: Replica) -> None:
        self.say(f"{replica.name} hands over")
        self.replicas.remove(replica)
        self.troubles += 1
        replica.task.cancel()

    def away(self, replica: Replica, seconds: float) -> None:
        """NATS and the replica do not reach each other for so long."""

        async def away() -> None:
            replica.line.away = True
            await self.clock.sleep(seconds)
            replica.line.away = False

        self.say(f"{replica.name} is away for {seconds} s")
        self.troubles += 1
        self._act(away())

    def deliver_again(self) -> None:
        """The queue believes that a holder fell silent."""
        for key, entry in self.queue.entries.items():
            self.say(f"{key.instance_id} is delivered again")
            self.troubles += 1
            entry.visible_at = self.clock.now()
        self.queue.changed()

    def show(self, status: InstanceStatus) -> None:
        self._statuses[status.key] = status
        self.must(self.records[status.key].told, status)

    # --- what replicas are given

    def new_id(self) -> UUID:
        self._drawn += 1
        return UUID(int=self._drawn)

    async def living(self, executors: Collection[str]) -> Collection[str]:
        return {replica.name for replica in self.replicas}.intersection(executors)

    def sandbox_dies(self) -> bool:
        dies = not self.calm and self.random.random() < self._dying
        self.troubles += dies
        return dies

    # --- what it watches

    def must(self, check: Callable[..., None], *given: Any) -> None:
        """What is found wrong must not be taken for a failure of what is watched."""
        try:
            check(*given)
        except AssertionError as error:
            self.say(f"WRONG: {error}")
            self.failures.append(error)

    def stored(self, commit: Sequence[InstanceEvent]) -> None:
        self.say(f"stored {commit[0].sequence}: " + ", ".join(_short(event) for event in commit))
        self.must(self.records[commit[0].key].store, commit)

    def acked(self, key: InstanceKey) -> None:
        self.must(self.records[key].acked)

    def timer_set(self, replica: str, key: InstanceKey, at: datetime) -> None:
        crashed = any(each.name == replica and each.crashes for each in self.replicas)
        self.must(self.records[key].timer_set, at, crashed)

    def say(self, what: str) -> None:
        self.trace.append(f"{(self.clock.now() - self._begun).total_seconds():9.3f} {what}")


def _short(event: InstanceEvent) -> str:
    by = f" by {event.executor.id}/{event.executor.epoch}" if event.executor else ""
    return f"{event.type}{' ' + event.call.index if event.call else ''}{by}"


class _Errors(logging.Handler):
    """An error that the engine only logs is one that it did not expect."""

    def __init__(self, failures: list[BaseException]) -> None:
        super().__init__(logging.ERROR)
        self._failures = failures

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._failures.append(error or AssertionError(record.getMessage()))
