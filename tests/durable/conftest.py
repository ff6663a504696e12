"""Scripts in V8, driven by the engine over a history in memory: run once, and taken up again behind every event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import pytest_asyncio

from tests.fakes.http import FakeHttp
from tests.fakes.memory import MemoryDataBus
from workflow_operator.engine import EngineLimits, SystemClock
from workflow_operator.engine.calls import FORMS
from workflow_operator.engine.driving.script import Host, Script
from workflow_operator.engine.driving.tail import Tail
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.engine.outcome import Failed, Outcome, Slot, Succeeded
from workflow_operator.history import EventType, ExecutorRef, InstanceEvent, InstanceKey
from workflow_operator.history.errors import ScriptError
from workflow_operator.http import Answer, Request
from workflow_operator.javascript.host import SandboxPool

KEY = InstanceKey("tests", UUID("7f0c1d7e-0000-4000-8000-0000000000aa"))
WRITER = EventWriter(SystemClock(), uuid4)


@dataclass
class Done:
    """One execution: how it ended, the whole history behind it, what it printed and what it sent."""

    outcome: Outcome
    history: list[InstanceEvent]
    lines: list[str]
    requests: list[Request]

    @property
    def output(self) -> Any:
        assert isinstance(self.outcome, Succeeded), self.outcome
        return self.outcome.output.load()  # type: ignore[union-attr]

    @property
    def error(self) -> ScriptError:
        assert isinstance(self.outcome, Failed), self.outcome
        return self.outcome.error

    @property
    def told(self) -> list[tuple[Any, ...]]:
        """What is the same in every execution: all but times and executors."""
        return [
            (event.type, event.call, event.function, event.attempt, event.result and event.result.data, event.error)
            for event in self.history[1:]
        ]

    def types(self) -> list[str]:
        return [f"{event.type} {event.function or ''}".rstrip() for event in self.history[1:]]


Drive: TypeAlias = Callable[..., Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[SandboxPool]:
    pool = SandboxPool(FORMS, size=2, idle=1)
    await pool.start()
    yield pool
    await pool.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def drive(pool: SandboxPool) -> Drive:
    async def drive(
        script: str,
        before: Sequence[InstanceEvent] = (),
        *,
        answer: Callable[[Request], Answer] | None = None,
        limits: EngineLimits | None = None,
        contended: Callable[[], bool] = lambda: False,
    ) -> Done:
        """The execution of a script whose history is ``before``, or begins now."""
        bus, sequence = MemoryDataBus(), 0
        for event in before or [WRITER.event(KEY, EventType.STARTED, script=script, rules=1)]:
            stored = await bus.append([event.replace(sequence=0, previous=0, place=0)], expected=sequence)
            sequence = stored[-1].sequence
        known = await bus.query_history(KEY)
        tail = Tail(bus, WRITER, KEY, ExecutorRef(id="a", epoch=0), known)
        lines: list[str] = []
        http = FakeHttp(answer)
        host = Host(WRITER.clock, limits or EngineLimits(), lambda _, line: lines.append(line.text), http)
        run = Script(known, tail, host, Slot(WRITER.clock.now(), contended))
        async with asyncio.timeout(60):
            outcome = await run.run(pool)
            await tail.flush()
        return Done(outcome, await bus.query_history(KEY), lines, http.requests)

    return drive


async def everywhere(drive: Drive, script: str, *, racing: bool = False, **given: Any) -> Done:
    """Run a script, and take it up behind each of its events: it must end the same, with the same history.

    ``racing``: what goes on side by side may end in another order, so that the histories differ.
    """
    first: Done = await drive(script, **given)
    for length in range(1, len(first.history) + 1):
        again: Done = await drive(script, first.history[:length], **given)
        assert again.told[: length - 1] == first.told[: length - 1]
        assert racing or again.told == first.told, f"behind {length} events"
        assert str(again.outcome) == str(first.outcome), f"behind {length} events"
    return first
