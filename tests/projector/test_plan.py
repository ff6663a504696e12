from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from tests.fakes.events import history
from tests.fakes.records import new_key
from tests.fakes.records import status as status_of
from workflow_operator.history import EventType, InstanceStatus, fold
from workflow_operator.history.errors import InvalidInput
from workflow_operator.projector import Fold, Gap, Stale, plan
from workflow_operator.projector.plan import without_values

T = EventType
EVENTS = history(T.STARTED, T.TRANSITION, T.OUTPUT, T.SUCCEEDED, first=11)


def status(count: int) -> InstanceStatus | None:
    folded: InstanceStatus | None = None
    for event in EVENTS[:count]:
        folded = fold(folded, event)
    return folded


@pytest.mark.parametrize(
    ("known", "arrived", "expected"),
    [
        (0, [], Stale()),
        (0, [0], 1),
        (0, [0, 1, 2, 3], 4),
        (0, [1], Gap()),
        (0, [0, 2], Gap()),
        (1, [0], Stale()),
        (1, [1], 2),
        (1, [2], Gap()),
        (1, [1, 3], Gap()),
        (2, [0, 1, 2], 3),
        (3, [0, 1], Stale()),
        (4, [0, 1, 2, 3], Stale()),
        (4, [3, 3], Stale()),
    ],
)
def test_plan(known: int, arrived: list[int], expected: Any) -> None:
    wanted = expected
    if isinstance(expected, int):
        folded = status(expected)
        assert folded is not None
        wanted = Fold(folded, expected - known, EVENTS[expected - 1].time)
    for order in permutations(arrived):
        assert plan(status(known), [EVENTS[place] for place in order]) == wanted
        assert plan(status(known), [EVENTS[place] for place in (*order, *order)]) == wanted


def test_what_follows_an_end_is_damage() -> None:
    with pytest.raises(InvalidInput, match="cannot follow"):
        plan(status(4), [_behind(14)])


def test_what_has_no_start_is_damage() -> None:
    with pytest.raises(InvalidInput, match="expected started"):
        plan(None, history(T.TRANSITION, first=11))


def test_what_is_too_large_for_a_message_goes_without_all_that_a_user_can_make_large_but_the_end() -> None:
    large = {"script": "x", "input": 1, "memory": 2, "metadata": {"label": "x" * 63}}
    whole = status_of(new_key(), output=3, **large)
    small = without_values(whole)
    assert small == whole.replace(**dict.fromkeys(large) | {"metadata": {}})


def _behind(previous: int) -> Any:
    return history(T.TRANSITION, first=previous + 1)[0].replace(previous=previous)
