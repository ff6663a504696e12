"""A run that is suspended: what is under way ends, nothing begins, and budgets stand still."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.fixtures.driven import Done, Driver
from workflow_operator.engine import EngineLimits
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.engine.outcome import Parked
from workflow_operator.history import EventType, InstanceEvent
from workflow_operator.http import Answer, Request

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


def toggle(drive: Driver, kind: EventType, generation: int) -> InstanceEvent:
    return EventWriter(drive.clock, uuid4).event(drive.key, kind, generation=generation)


def suspended_for_a_day(drive: Driver, history: Sequence[InstanceEvent]) -> list[InstanceEvent]:
    """The history with a suspension behind it that is over now. The clock is set ahead."""
    off = toggle(drive, EventType.SUSPENDED, 2)
    drive.clock.ahead += timedelta(days=1)
    return [*history, off, toggle(drive, EventType.RESUMED, 3)]


async def test_what_is_under_way_ends_and_nothing_begins(drive: Driver) -> None:
    script = """async function main() {
      const other = step.sleep("nap", 1);
      const got = await step.do("first", async () => (await fetch("http://a/")).status);
      await other;
      return [got, await step.do("second", () => 2)];
    }"""

    def answer(request: Request) -> Answer:
        drive.tail.received(toggle(drive, EventType.SUSPENDED, 2))
        return Answer(str(request.url), 200, "OK", {}, b"", False)

    done = await drive(script, answer=answer)
    assert done.types()[-2:] == ["callCompleted first", "waiting"]
    assert isinstance(done.outcome, Parked)
    assert done.outcome.until is None
    resumed = await drive(script, suspended_for_a_day(drive, done.history))
    assert resumed.output == [200, 2]
    assert not resumed.requests


async def test_a_sleep_is_an_appointment(drive: Driver) -> None:
    script = "async function main() { await step.sleep('nap', '2 hours'); return 'over' }"
    parked = await drive(script)
    assert (await drive(script, suspended_for_a_day(drive, parked.history))).output == "over"


async def waits(drive: Driver, script: str) -> tuple[Done, Done]:
    """A run that has parked until a time, and the same once it was suspended for a day."""
    limits = EngineLimits(park_after_seconds=0)
    parked = await drive(script, limits=limits)
    return parked, await drive(script, suspended_for_a_day(drive, parked.history), limits=limits)


@pytest.mark.parametrize(
    "script",
    [
        "async function main() { await step.waitForEvent('a', { type: 'a', timeout: '2 hours' }) }",
        "async function main() { await step.do('a', { retries: { limit: 1, delay: '2 hours', jitter: 0 } }, () => { throw Error('no') }) }",  # noqa: E501
    ],
    ids=["timeout of a wait", "pause between attempts"],
)
async def test_a_budget_stands_still(drive: Driver, script: str) -> None:
    before, after = await waits(drive, script)
    assert isinstance(before.outcome, Parked)
    assert isinstance(after.outcome, Parked), after.outcome
    assert before.outcome.until is not None
    assert after.outcome.until is not None
    assert abs(after.outcome.until - before.outcome.until - timedelta(days=1)) < timedelta(seconds=10)


async def test_an_event_that_came_meanwhile_is_got(drive: Driver) -> None:
    script = (
        "async function main() { return (await step.waitForEvent('a', { type: 'a', timeout: '2 hours' })).payload }"
    )
    parked = await drive(script)
    history = [*parked.history, toggle(drive, EventType.SUSPENDED, 2)]
    drive.clock.ahead += timedelta(days=1)
    history = await drive.sent(history, [("a", 1)])
    done = await drive(script, [*history, toggle(drive, EventType.RESUMED, 3)])
    assert done.output == 1


async def test_the_longest_time_for_a_step_stands_still(drive: Driver) -> None:
    script = """async function main() {
      const retries = { limit: 5, delay: "1 hour", backoff: "constant", jitter: 0, maxDuration: "3 hours" };
      await step.do("a", { retries }, () => { throw Error("no") });
    }"""
    limits = EngineLimits(park_after_seconds=0)
    parked = await drive(script, limits=limits)
    history = suspended_for_a_day(drive, parked.history)
    drive.clock.ahead += timedelta(hours=1, seconds=10)
    again = await drive(script, history, limits=limits)
    assert again.types()[-2:] == ["attemptFailed a", "waiting"]
