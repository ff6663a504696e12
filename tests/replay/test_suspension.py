"""When a run is suspended, and which dates have moved."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.events import at, history
from workflow_operator.history import EventType
from workflow_operator.replay import Cancel, Drive, Sight, Sleeping, Suspensions, next_action

T = EventType


def off(seconds: int, generation: int = 2) -> tuple[EventType, dict[str, Any]]:
    return T.SUSPENDED, {"time": at(seconds), "generation": generation}


def on(seconds: int, generation: int = 3) -> tuple[EventType, dict[str, Any]]:
    return T.RESUMED, {"time": at(seconds), "generation": generation}


@pytest.mark.parametrize(
    ("steps", "since"),
    [
        ([], None),
        ([off(10)], 10),
        ([off(10), on(20)], None),
        ([off(10), on(20, 2)], 10),
        ([off(10, 5), on(20, 4)], 10),
        ([on(20, 3), off(30, 2)], None),
        ([off(10), off(15, 4)], 10),
        ([off(10), on(20), off(30, 4)], 30),
    ],
)
def test_the_toggle_of_the_highest_generation_counts(steps: list[Any], since: int | None) -> None:
    assert Suspensions(history(T.STARTED, *steps)).since == (None if since is None else at(since))


@pytest.mark.parametrize(
    ("steps", "begun", "due", "moved"),
    [
        ([], 0, 100, 100),
        ([off(10), on(30)], 0, 100, 120),
        # Before it began, and after it was over.
        ([off(10), on(30)], 40, 100, 100),
        ([off(10), on(30)], 0, 10, 10),
        # It began while the run was suspended: attempts under way are let end.
        ([off(10), on(30)], 20, 100, 110),
        ([off(10), on(30), off(110, 4), on(200, 5)], 0, 100, 210),
        ([off(10), on(30), off(130, 4), on(200, 5)], 0, 100, 120),
    ],
)
def test_a_budget_stands_still_meanwhile(steps: list[Any], begun: int, due: int, moved: int) -> None:
    assert Suspensions(history(T.STARTED, *steps)).moved(at(due), at(begun)) == at(moved)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([off(1)], Sleeping(None, 2)),
        ([(T.WAITING, {"wake_at": at(5)}), off(10)], Sleeping(None, 3)),
        ([off(10), (T.WAITING, {"wake_at": at(5)})], Sleeping(None, 3)),
        ([off(10), T.SIGNAL], Sleeping(None, 3)),
        ([(T.WAITING, {"wake_at": at(500)}), off(10), on(20)], Drive(1, "silence")),
        ([off(10), (T.CANCEL_REQUESTED, {"reason": "deleted"})], Cancel(0, "deleted")),
        ([(T.CANCEL_REQUESTED, {"reason": "deleted"}), off(10)], Cancel(0, "deleted")),
    ],
)
def test_a_suspended_run_is_left_alone_but_for_its_end(steps: list[Any], expected: object) -> None:
    assert next_action(history(T.STARTED, *steps), Sight(1, at(50), crash_limit=3)) == expected
