from __future__ import annotations

from functools import reduce
from itertools import chain, permutations
from typing import Any

import pytest

from tests.fakes.events import commit, history
from tests.fakes.records import new_key
from tests.fakes.records import status as status_of
from workflow_operator.history import EventType, InstanceEvent, InstanceStatus, fold
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
        assert plan(status(known), [[EVENTS[place]] for place in order]) == wanted
        assert plan(status(known), [[EVENTS[place]] for place in (*order, *order)]) == wanted


COMMITS = [
    commit(T.STARTED, T.CLAIMED, T.TRANSITION, sequence=11),
    commit(T.TRANSITION, sequence=12, previous=11),
    commit(T.TRANSITION, (T.SUCCEEDED, {"output": 7}), sequence=15, previous=12),
]


@pytest.mark.parametrize(
    ("known", "arrived", "expected"),
    [
        (0, [0], 1),
        (0, [0, 1, 2], 3),
        (0, [1, 2], Gap()),
        (1, [0, 2], Gap()),
        (1, [0, 1, 2], 3),
        (2, [2, 2], 3),
        (3, [0, 1, 2], Stale()),
    ],
)
def test_a_commit_is_folded_whole_or_not_at_all(known: int, arrived: list[int], expected: Any) -> None:
    folded = [reduce(fold, chain(*COMMITS[:count]), None) for count in range(4)]
    wanted = expected
    if isinstance(expected, int):
        after = folded[expected]
        assert after is not None
        wanted = Fold(after, sum(map(len, COMMITS[known:expected])), COMMITS[expected - 1][-1].time)
    for order in permutations(arrived):
        assert plan(folded[known], [COMMITS[place] for place in order]) == wanted


@pytest.mark.parametrize(
    "damaged",
    [
        commit(T.TRANSITION, T.SUCCEEDED, T.TRANSITION, sequence=12, previous=11),
        commit(T.TRANSITION, T.STARTED, sequence=12, previous=11),
    ],
    ids=["behind the end", "a second start"],
)
def test_nothing_is_folded_of_a_commit_that_is_damaged(damaged: list[InstanceEvent]) -> None:
    before = reduce(fold, COMMITS[0], None)
    with pytest.raises(InvalidInput, match="damaged"):
        plan(before, [damaged])


def test_what_follows_an_end_is_damage() -> None:
    with pytest.raises(InvalidInput, match="cannot follow"):
        plan(status(4), [[_behind(14)]])


def test_what_has_no_start_is_damage() -> None:
    with pytest.raises(InvalidInput, match="expected started"):
        plan(None, [history(T.TRANSITION, first=11)])


def test_what_is_too_large_for_a_message_goes_without_all_that_a_user_can_make_large_but_the_end() -> None:
    large = {"script": "x", "input": 1, "memory": 2, "metadata": {"label": "x" * 63}}
    whole = status_of(new_key(), output=3, **large)
    small = without_values(whole)
    assert small == whole.replace(**dict.fromkeys(large) | {"metadata": {}})


def _behind(previous: int) -> Any:
    return history(T.TRANSITION, first=previous + 1)[0].replace(previous=previous)
