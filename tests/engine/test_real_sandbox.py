"""A script in V8 and the engine that records what it tells: a run taken up anywhere goes on as the first one did."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.fakes.events import plain
from tests.fakes.http import NoHttp
from tests.fakes.memory import MemoryDataBus
from workflow_operator.engine import EngineLimits, SystemClock
from workflow_operator.engine.calls import FORMS
from workflow_operator.engine.clock import shown_ms
from workflow_operator.engine.driving.script import Host, Script
from workflow_operator.engine.driving.tail import Tail
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.engine.outcome import Outcome, Slot, Succeeded
from workflow_operator.history import EventType, ExecutorRef, InstanceEvent, InstanceKey
from workflow_operator.javascript.host import SandboxPool

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

KEY = InstanceKey("tests", uuid4())
# Whatever depends on the clock goes into arguments: another time in a replay is another call.
SCRIPT = """
function main() {
  const seen = [Date.now()]
  for (let i = 0; i < 4; i++) {
    transition(step, { i, at: Date.now() })
    let x = 0; for (let k = 0; k < 2e5; k++) x += k % 7
    seen.push(Date.now())
    if (i === 1) sleep(1)
  }
  finish({ seen, chance: Math.random(), at: Date.now() })
  transition(step, { i: 'last', at: Date.now() })
  return 'not this'
}
function step(memory) { return memory.at }
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[SandboxPool]:
    pool = SandboxPool(FORMS, size=1, idle=1)
    await pool.start()
    yield pool
    await pool.close()


async def driven(pool: SandboxPool, before: Sequence[InstanceEvent]) -> tuple[Outcome, list[InstanceEvent]]:
    """How a run ends that has this history, and its whole history."""
    bus, clock = MemoryDataBus(), SystemClock()
    for event in before:
        await bus.append([event], expected=(await bus.query_history(KEY))[-1].sequence if event is not before[0] else 0)
    known = await bus.query_history(KEY)
    tail = Tail(bus, EventWriter(clock, uuid4), KEY, ExecutorRef(id="a", epoch=0), known)
    host = Host(clock, EngineLimits(), lambda *_: None, NoHttp())
    script = Script(known, tail, host, Slot(clock.now(), lambda: False))
    outcome = await script.run(pool)
    await tail.flush()
    return outcome, await bus.query_history(KEY)


def told(event: InstanceEvent) -> tuple[Any, ...]:
    return (event.type, event.call, event.function, plain(event.memory), plain(event.output))


async def test_a_run_taken_up_at_any_event_makes_the_same_calls_and_sees_the_same_times(pool: SandboxPool) -> None:
    writer = EventWriter(SystemClock(), uuid4)
    started = writer.event(KEY, EventType.STARTED, script=SCRIPT, entrypoint="main", rules=1)
    outcome, history = await driven(pool, [started])
    assert isinstance(outcome, Succeeded)
    calls = [event for event in history if event.type in (EventType.TRANSITION, EventType.OUTPUT)]
    # What a step saw is the time of the event before it.
    assert [plain(event.memory)["at"] for event in calls[1:2]] == [shown_ms(calls[0].time)]
    assert [event.time for event in history] == sorted(event.time for event in history)
    for known in range(2, len(history) + 1):
        again, longer = await driven(pool, history[:known])
        assert isinstance(again, Succeeded), known
        assert [told(event) for event in longer[:known]] == [told(event) for event in history[:known]]
        assert [(event.type, event.call and event.call.index) for event in longer] == [
            (event.type, event.call and event.call.index) for event in history
        ]
    again, longer = await driven(pool, history)
    assert again == outcome
    assert [told(event) for event in longer] == [told(event) for event in history]
