"""step.waitForEvent: which wait gets which event, whenever it comes, and whoever is lost."""

# ruff: noqa: E501 - scripts

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.fixtures.driven import Done, Driver
from workflow_operator.engine.outcome import Parked
from workflow_operator.history import EventType, Json, SignalInfo
from workflow_operator.history.errors import RunFinished

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

Sent = tuple[str, Any]


async def answered(drive: Driver, script: str, *sent: Sequence[Sent], before: Sequence[Sent] = ()) -> Done:
    """A run that is sent some events whenever it has parked; ``before``: before it begins."""
    done = await drive(script, await drive.sent(drive.begun(script), before))
    for batch in sent:
        assert isinstance(done.outcome, Parked), done.outcome
        done = await drive(script, await drive.sent(done.history, batch))
    return done


ONE = "async function main() { const e = await step.waitForEvent('approval', { type: 'approve' }); return [e.type, e.payload, e.id, e.sender ?? null, e.timestamp > 0] }"


@pytest.mark.parametrize("early", [False, True], ids=["later", "before the wait"])
async def test_an_event_is_got_whenever_it_comes(drive: Driver, early: bool) -> None:
    sent: list[Sent] = [("approve", {"note": "fine"})]
    done = await answered(drive, ONE, before=sent) if early else await answered(drive, ONE, sent)
    assert done.output == ["approve", {"note": "fine"}, "id 1", "alice", True]
    for length in range(2 if early else 3, len(done.history) + 1):
        again = await drive(ONE, done.history[:length])
        assert again.output == done.output


async def test_a_run_that_waits_for_an_event_alone_holds_nothing(drive: Driver) -> None:
    done = await drive(ONE)
    assert done.outcome == Parked(None, 2)
    assert done.types() == ["waiting"]
    (waited,) = done.history[-1].on
    assert (waited.kind, waited.name, waited.types, waited.until) == ("event", "approval", ("approve",), None)


async def test_events_are_got_in_their_order_each_once(drive: Driver) -> None:
    script = """async function main() {
      const got = [];
      for (let i = 0; i < 3; i++) got.push((await step.waitForEvent("any", { type: ["a", "b"] })).payload);
      return got;
    }"""
    done = await answered(drive, script, [("b", 1), ("c", 2), ("a", 3)], [("a", 4)])
    assert done.output == [1, 3, 4]
    assert done.lines[-1:] == ["ended without taking all events that came: 1 c"]
    assert (await drive(script, done.history)).output == [1, 3, 4]


async def test_an_event_with_an_id_that_came_before_counts_once(drive: Driver) -> None:
    script = "async function main() { const got = []; for (let i = 0; i < 2; i++) got.push((await step.waitForEvent('any', { type: 'a' })).payload); return got }"
    history = await drive.sent(drive.begun(script), [("a", 1), ("a", 2)])
    one, other = history[-2:]
    assert other.signal is not None
    double = [*history[:-1], other.replace(signal=one.signal)]
    done = await drive(script, double)
    assert isinstance(done.outcome, Parked)
    assert done.types().count("callCompleted any") == 1


async def test_several_waits_get_them_in_the_order_of_the_calls(drive: Driver) -> None:
    script = """async function main() {
      const one = step.waitForEvent("one", { type: "a" }), two = step.waitForEvent("two", { type: ["b", "a"] });
      return [(await one).payload, (await two).payload];
    }"""
    assert (await answered(drive, script, [("b", 1), ("a", 2)])).output == [2, 1]
    assert (await answered(drive, script, [("a", 1), ("a", 2)])).output == [1, 2]


async def test_a_wait_that_was_given_up_eats_no_event(drive: Driver) -> None:
    script = """async function main() {
      const got = [];
      for (let i = 0; i < 3; i++) {
        const { winner, value } = await step.race({
          event: (signal) => step.waitForEvent("poke", { type: "a", signal }),
          late: (signal) => step.sleep("late", 20, { signal }),
        });
        got.push(winner === "event" ? value.payload : winner);
      }
      got.push((await step.waitForEvent("last", { type: "a" })).payload);
      return got;
    }"""
    done = await answered(drive, script, [("a", 1)])
    assert done.output == ["late", "late", "late", 1]
    assert (await answered(drive, script, before=[("a", 1), ("a", 2), ("a", 3), ("a", 4)])).output == [1, 2, 3, 4]


async def test_a_wait_ends_with_its_timeout_and_the_next_one_gets_the_event(drive: Driver) -> None:
    script = """async function main() {
      try { await step.waitForEvent("first", { type: "a", timeout: 10 }) } catch (error) {
        const next = await step.waitForEvent("second", { type: "a" });
        return [error.name, error.message, next.payload];
      }
    }"""
    done = await answered(drive, script, [("a", 1)])
    assert done.output == [
        "TimeoutError",
        "step.waitForEvent: no event a came for first within 10 ms (timeout of the wait)",
        1,
    ]
    assert done.types()[:2] == ["callStarted first", "callCompleted first"]
    assert (await drive(script, done.history)).output == done.output


async def test_what_came_in_time_counts_also_if_nobody_was_there(drive: Driver) -> None:
    script = "async function main() { return await step.waitForEvent('a', { type: 'a', timeout: '1 hour' }).then((e) => e.payload, (e) => e.name) }"
    parked = await drive(script)
    assert isinstance(parked.outcome, Parked)
    assert parked.outcome.until == parked.history[1].fire_at
    history = await drive.sent(parked.history, [("a", 1)])
    with drive.ahead(hours=2):
        assert (await drive(script, history)).output == 1
        late = await drive.sent(parked.history, [("a", 1)])
        assert (await drive(script, late)).output == "TimeoutError"


async def test_a_wait_that_is_open_at_the_end_is_dropped(drive: Driver) -> None:
    done = await drive(
        "async function main() { step.waitForEvent('never', { type: 'a' }); return await step.do('a', () => 1) }"
    )
    assert done.output == 1
    assert done.lines == ["ended without waiting for 1 sleeps or events that are open: never"]


async def test_ten_thousand_events_are_taken_one_after_the_other(drive: Driver) -> None:
    script = "async function main() { let sum = 0; for (let i = 0; i < 2000; i++) sum += (await step.waitForEvent('n', { type: 'n' })).payload; return sum }"
    done = await answered(drive, script, before=[("n", 1)] * 2000)
    assert done.output == 2000


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("step.waitForEvent()", "step.waitForEvent: expected a name as first argument, got undefined"),
        ("step.waitForEvent('a')", "step.waitForEvent: expected { type }, a text or an array of texts"),
        ("step.waitForEvent('a', { type: [] })", "step.waitForEvent: expected 1 to 16 types, got 0"),
        (
            "step.waitForEvent('a', { type: '' })",
            "step.waitForEvent: expected types of 1 to 100 characters, got one of 0",
        ),
        (
            "step.waitForEvent('a', { type: [5] })",
            "step.waitForEvent: expected types of 1 to 100 characters, got a value of type number",
        ),
        ("step.waitForEvent('a', { type: 'a\\n' })", "expected types without control characters"),
        ("step.waitForEvent('a', { types: 'a' })", "expected no member types; there are type, timeout and signal"),
        ("step.waitForEvent('a', { type: 'a', timeout: 'soon' })", "step.waitForEvent: timeout: expected milliseconds"),
    ],
)
async def test_what_is_wrong_with_a_wait_is_said(drive: Driver, call: str, said: str) -> None:
    done = await drive(f"async function main() {{ try {{ await {call} }} catch (e) {{ return e.message }} }}")
    assert said in done.output


# --- sending


async def test_a_run_that_is_parked_is_woken_and_no_other(drive: Driver) -> None:
    script = ONE
    parked = await drive(script)
    world = await drive.world(parked.history)
    sequence = await world.runner.signal(drive.key, SignalInfo(id="1", type="approve"), Json(b"1"))
    assert world.queue.entries.keys() == {drive.key}
    # Once more is the same one.
    assert await world.runner.signal(drive.key, SignalInfo(id="1", type="approve"), Json(b"2")) == sequence
    assert [event.type for event in await world.bus.query_history(drive.key)].count(EventType.SIGNAL) == 1
    going_on = await drive.world(parked.history[:1])
    await going_on.runner.signal(drive.key, SignalInfo(id="1", type="approve"), Json(b"1"))
    assert not going_on.queue.entries


async def test_a_run_that_has_ended_takes_none(drive: Driver) -> None:
    done = await drive("function main() { return 1 }")
    end = done.history[0].replace(type=EventType.SUCCEEDED, script=None, rules=0, output=Json(b"1"))
    world = await drive.world([*done.history, end])
    with pytest.raises(RunFinished):
        await world.runner.signal(drive.key, SignalInfo(id="1", type="a"), Json(b"1"))
