from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.events import at, by, history
from workflow_operator.history import EventType
from workflow_operator.replay import (
    Abandon,
    Cancel,
    Drive,
    Ended,
    Missing,
    Sleeping,
    crashes_in_a_row,
    next_action,
    overtaken_by,
)

T = EventType
CLAIM = (T.CLAIMED, by("x", 1))
PARKED = (T.WAITING, {"wake_at": at(100)})
CANCEL = (T.CANCEL_REQUESTED, {"reason": "deleted"})
NOW = at(50)


@pytest.mark.parametrize(
    ("steps", "attempt", "expected"),
    [
        ([], 1, Missing()),
        ([], 9, Missing()),
        ([T.STARTED], 1, Drive(0, claim=False)),
        ([T.STARTED], 2, Drive(1, claim=True)),
        ([T.STARTED, T.TRANSITION], 1, Drive(1, claim=True)),
        ([T.STARTED, CLAIM], 1, Drive(2, claim=True)),
        ([T.STARTED, CLAIM, T.TRANSITION, CLAIM], 3, Drive(3, claim=True)),
        ([T.STARTED, PARKED], 1, Sleeping(at(100), 2)),
        ([T.STARTED, PARKED], 5, Sleeping(at(100), 2)),
        ([T.STARTED, (T.WAITING, {"wake_at": at(50)})], 1, Drive(1, claim=True)),
        ([T.STARTED, (T.WAITING, {"wake_at": at(49)})], 1, Drive(1, claim=True)),
        ([T.STARTED, T.WAITING], 1, Drive(1, claim=True)),
        ([T.STARTED, PARKED, CLAIM], 1, Drive(2, claim=True)),
        ([T.STARTED, CANCEL], 1, Cancel(0, "deleted")),
        ([T.STARTED, T.CANCEL_REQUESTED], 1, Cancel(0, "")),
        ([T.STARTED, PARKED, CANCEL], 1, Cancel(0, "deleted")),
        ([T.STARTED, CLAIM, CANCEL, T.TRANSITION], 2, Cancel(1, "deleted")),
        ([T.STARTED, CANCEL, PARKED], 1, Cancel(0, "deleted")),
        ([T.STARTED, CANCEL, CLAIM, CLAIM, CLAIM], 1, Cancel(3, "deleted")),
        ([T.STARTED, CLAIM, CLAIM], 1, Drive(3, claim=True)),
        ([T.STARTED, CLAIM, CLAIM, CLAIM], 1, Abandon(3, 3)),
        ([T.STARTED, CLAIM, CLAIM, CLAIM, CLAIM], 1, Abandon(4, 4)),
        ([T.STARTED, CLAIM, CLAIM, T.TRANSITION, CLAIM], 1, Drive(4, claim=True)),
        *[([T.STARTED, end], attempt, Ended()) for end in (T.SUCCEEDED, T.FAILED, T.CANCELLED) for attempt in (1, 2)],
        ([T.STARTED, CANCEL, T.SUCCEEDED], 1, Ended()),
    ],
)
def test_next_action(steps: list[Any], attempt: int, expected: object) -> None:
    assert next_action(history(*steps), attempt=attempt, now=NOW, crash_limit=3) == expected


@pytest.mark.parametrize(
    ("steps", "crashes"),
    [
        ([T.STARTED], 0),
        ([T.STARTED, CLAIM], 1),
        ([T.STARTED, CLAIM, T.TRANSITION], 0),
        ([T.STARTED, CLAIM, T.TRANSITION, CLAIM, CLAIM], 2),
    ],
)
def test_crashes_in_a_row(steps: list[Any], crashes: int) -> None:
    assert crashes_in_a_row(history(*steps)) == crashes


@pytest.mark.parametrize(
    ("steps", "overtaken"),
    [
        ([], None),
        ([CANCEL], None),
        ([CLAIM], T.CLAIMED),
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
