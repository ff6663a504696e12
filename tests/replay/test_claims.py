from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.events import at, by, history
from workflow_operator.history import EventType, ExecutorRef, LetGo, Release
from workflow_operator.replay import (
    Abandon,
    Cancel,
    Drive,
    Ended,
    Missing,
    Sight,
    Sleeping,
    crashes_in_a_row,
    next_action,
    overtaken_by,
    silent_claimers,
)

T = EventType


def claimed(name: str = "x", predecessor: str | None = "silence") -> tuple[EventType, dict[str, Any]]:
    return T.CLAIMED, {**by(name, 1), "predecessor": predecessor}


def word(name: str, *, crashed: bool = False) -> Release:
    return Release(ExecutorRef(id=name, epoch=1), crashed)


CLAIM = claimed()
OLD_CLAIM = (T.CLAIMED, by("x", 1))
DRIVEN = (T.STARTED, by("y", 0))
PARKED = (T.WAITING, {"wake_at": at(100)})
CANCEL = (T.CANCEL_REQUESTED, {"reason": "deleted"})
TOGGLED = ((T.SUSPENDED, {"generation": 2}), (T.RESUMED, {"generation": 3}))
NOW = at(50)
SILENCE = LetGo.SILENCE


@pytest.mark.parametrize(
    ("steps", "attempt", "expected"),
    [
        ([], 1, Missing()),
        ([], 9, Missing()),
        ([T.STARTED], 1, Drive(0, None)),
        ([T.STARTED], 2, Drive(1, SILENCE)),
        ([T.STARTED, T.TRANSITION], 1, Drive(1, SILENCE)),
        ([T.STARTED, CLAIM], 1, Drive(2, SILENCE, 1)),
        ([T.STARTED, CLAIM, T.TRANSITION, CLAIM], 3, Drive(3, SILENCE, 1)),
        ([T.STARTED, PARKED], 1, Sleeping(at(100), 2)),
        ([T.STARTED, PARKED], 5, Sleeping(at(100), 2)),
        ([T.STARTED, (T.WAITING, {"wake_at": at(50)})], 1, Drive(1, SILENCE)),
        ([T.STARTED, (T.WAITING, {"wake_at": at(49)})], 1, Drive(1, SILENCE)),
        # It waits for an event from outside: whoever sends one appends it behind that.
        ([T.STARTED, T.WAITING], 1, Sleeping(None, 2)),
        ([T.STARTED, T.WAITING, T.SIGNAL], 1, Drive(1, SILENCE)),
        ([T.STARTED, PARKED, CLAIM], 1, Drive(2, SILENCE, 1)),
        ([T.STARTED, CANCEL], 1, Cancel(0, "deleted")),
        ([T.STARTED, T.CANCEL_REQUESTED], 1, Cancel(0, "")),
        ([T.STARTED, PARKED, CANCEL], 1, Cancel(0, "deleted")),
        ([T.STARTED, CLAIM, CANCEL, T.TRANSITION], 2, Cancel(1, "deleted")),
        ([T.STARTED, CANCEL, PARKED], 1, Cancel(0, "deleted")),
        ([T.STARTED, CANCEL, CLAIM, CLAIM, CLAIM], 1, Cancel(3, "deleted")),
        ([T.STARTED, CLAIM, CLAIM], 1, Drive(3, SILENCE, 2)),
        ([T.STARTED, CLAIM, CLAIM, CLAIM], 1, Abandon(3, 3)),
        ([T.STARTED, CLAIM, CLAIM, CLAIM, CLAIM], 1, Abandon(4, 4)),
        ([T.STARTED, CLAIM, CLAIM, T.TRANSITION, CLAIM], 1, Drive(4, SILENCE, 1)),
        # Whoever sends events to it cannot keep alive a run that ends its executors.
        ([T.STARTED, CLAIM, T.SIGNAL, CLAIM, *TOGGLED, CLAIM, T.SIGNAL], 1, Abandon(3, 3)),
        ([T.STARTED, CLAIM, PARKED, T.SIGNAL, CLAIM], 1, Drive(3, SILENCE, 1)),
        ([T.STARTED, *[OLD_CLAIM] * 5], 1, Drive(6, SILENCE)),
        *[([T.STARTED, end], attempt, Ended()) for end in (T.SUCCEEDED, T.FAILED, T.CANCELLED) for attempt in (1, 2)],
        ([T.STARTED, CANCEL, T.SUCCEEDED], 1, Ended()),
    ],
)
def test_next_action(steps: list[Any], attempt: int, expected: object) -> None:
    assert next_action(history(*steps), Sight(attempt, NOW, crash_limit=3)) == expected


@pytest.mark.parametrize(
    ("driver", "attempt", "released", "expected"),
    [
        # Who drives it where it started needs no claim; anybody else may meet it at work.
        ("me", 1, None, Drive(0, None)),
        ("me", 2, None, Drive(1, SILENCE, 1)),
        ("other", 1, None, Drive(1, SILENCE, 1)),
        ("other", 1, Release(ExecutorRef(id="other", epoch=0)), Drive(1, LetGo.HAND_OVER)),
        ("other", 1, Release(ExecutorRef(id="other", epoch=0), crashed=True), Drive(1, LetGo.CRASH, 1)),
    ],
)
def test_what_is_driven_where_it_started_is_claimed_by_any_other(
    driver: str, attempt: int, released: Release | None, expected: object
) -> None:
    events = history((T.STARTED, by(driver, 0)))
    sight = Sight(attempt, NOW, crash_limit=3, released=released, executor_id="me")
    assert next_action(events, sight) == expected


@pytest.mark.parametrize(
    ("released", "attempt", "last", "expected"),
    [
        (word("x"), 1, CLAIM, Drive(2, LetGo.HAND_OVER)),
        # Taken back by others in between, who did not drive it.
        (word("x"), 7, CLAIM, Drive(2, LetGo.HAND_OVER)),
        (word("x", crashed=True), 1, CLAIM, Drive(2, LetGo.CRASH, 1)),
        # The word of one before: the last one said nothing.
        (word("before"), 2, CLAIM, Drive(2, SILENCE, 1)),
        # Who drove it first claimed nothing, and must be fenced off all the same.
        (Release(ExecutorRef(id="first", epoch=0)), 1, T.STARTED, Drive(1, SILENCE)),
    ],
)
def test_a_released_instance_is_claimed_with_what_is_known_of_its_predecessor(
    released: Release, attempt: int, last: Any, expected: object
) -> None:
    events = history(T.STARTED, last) if last is not T.STARTED else history(last)
    assert next_action(events, Sight(attempt, NOW, crash_limit=3, released=released)) == expected


@pytest.mark.parametrize(
    ("steps", "released", "alive", "crashes"),
    [
        ([T.STARTED], None, "", 0),
        ([T.STARTED, CLAIM], None, "", 1),
        ([T.STARTED, CLAIM, T.TRANSITION], None, "", 0),
        ([T.STARTED, CLAIM, T.TRANSITION, CLAIM, CLAIM], None, "", 2),
        # Who drives it where it started has claimed it with that.
        ([DRIVEN], None, "", 1),
        ([DRIVEN], None, "y", 0),
        ([DRIVEN], Release(ExecutorRef(id="y", epoch=0)), "", 0),
        ([DRIVEN], Release(ExecutorRef(id="y", epoch=0), crashed=True), "y", 1),
        ([DRIVEN, CLAIM, CLAIM], None, "", 3),
        ([DRIVEN, T.TRANSITION], None, "", 0),
        ([DRIVEN, T.TRANSITION, CLAIM], None, "", 1),
        # Every one handed over, as in a rollout of everything.
        ([T.STARTED, CLAIM, *[claimed("x", "handOver")] * 6], word("x"), "", 0),
        # The last one fell silent.
        ([T.STARTED, CLAIM, *[claimed("x", "handOver")] * 6], None, "", 1),
        ([T.STARTED, CLAIM, claimed("x", "crash"), claimed("x", "crash")], word("x", crashed=True), "", 3),
        # A hand-over between two crashes excuses neither of them.
        ([T.STARTED, CLAIM, claimed("x", "crash"), claimed("x", "handOver")], word("x", crashed=True), "", 2),
        # Whoever lives was overtaken. A sandbox that died under an executor that lives is a crash all the same.
        ([T.STARTED, claimed("a"), claimed("b"), claimed("a"), claimed("b")], None, "ab", 0),
        ([T.STARTED, claimed("a"), claimed("b"), claimed("a"), claimed("b")], None, "a", 2),
        ([T.STARTED, claimed("a"), claimed("a", "crash")], word("a", crashed=True), "a", 2),
        # Of releases that did not tell.
        ([T.STARTED, OLD_CLAIM, OLD_CLAIM, CLAIM], None, "", 1),
        ([T.STARTED, claimed("x", "somethingNew"), claimed("x", "somethingNew")], None, "", 1),
    ],
)
def test_crashes_in_a_row(steps: list[Any], released: Release | None, alive: str, crashes: int) -> None:
    events = history(*steps)
    assert crashes_in_a_row(events, released, set(alive)) == crashes


def test_who_is_to_be_looked_for_fell_silent() -> None:
    events = history(T.STARTED, claimed("a"), claimed("b"), claimed("c", "handOver"), claimed("d", "crash"))
    assert silent_claimers(events, None) == {"a", "d"}
    assert silent_claimers(events, word("d")) == {"a"}
    assert silent_claimers(history(T.STARTED), None) == set()


@pytest.mark.parametrize(
    ("steps", "overtaken"),
    [
        ([], None),
        ([CANCEL], None),
        ([CLAIM], T.CLAIMED),
        ([T.STARTED], T.STARTED),
        ([CANCEL, CLAIM], T.CLAIMED),
        ([T.CANCELLED], T.CANCELLED),
        # Work that someone else recorded, even without a claim.
        ([(T.TRANSITION, by("y"))], T.TRANSITION),
        ([CANCEL, (T.WAITING, by("y"))], T.WAITING),
    ],
)
def test_overtaken_by(steps: list[Any], overtaken: EventType | None) -> None:
    found = overtaken_by(history(*steps, first=5))
    assert (found and found.type) == overtaken
