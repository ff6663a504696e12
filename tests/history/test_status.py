from __future__ import annotations

from functools import reduce
from typing import Any, cast

import pytest

from tests.fakes.events import KEY, at, by, history
from workflow_operator.history import (
    TERMINAL_TYPES,
    ErrorInfo,
    EventType,
    ExecutorRef,
    InstanceEvent,
    InstanceStatus,
    Json,
    Origin,
    StatusValue,
    encode_status,
    fold,
)
from workflow_operator.history.errors import InvalidInput

T = EventType
Step = EventType | tuple[EventType, dict[str, Any]]
ORIGIN = Origin(cluster="prod-1", name="nightly", generation=2)
ERROR = ErrorInfo(name="TypeError", message="no", line=1, column=2)


def folded(*steps: Step) -> InstanceStatus:
    status: InstanceStatus | None = None
    for event in history(*steps):
        status = fold(status, event)
    assert status is not None
    return status


def shown(status: InstanceStatus, *fields: str) -> dict[str, Any]:
    found = {field: getattr(status, field) for field in fields}
    return {field: value.load() if isinstance(value, Json) else value for field, value in found.items()}


def test_started_carries_all_that_a_reader_wants_to_know() -> None:
    given = {"metadata": {"a": "b"}, "script": "1", "entrypoint": "main", "input": [1], "origin": ORIGIN}
    status = folded((T.STARTED, given))
    assert shown(status, *given) == given
    assert (status.key, status.created_at, status.history_sequence) == (KEY, at(1), 1)
    assert (status.status, status.terminal, status.ended_at) == (StatusValue.PENDING, False, None)


def test_a_start_tells_who_drives_the_instance_where_it_started() -> None:
    assert folded((T.STARTED, by("x"))).executor == ExecutorRef(id="x", epoch=0)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], {"steps": 0, "executor": None, "parked": False, "wake_at": None}),
        ([(T.CLAIMED, by("x", 1))], {"steps": 0, "executor": ExecutorRef(id="x", epoch=1)}),
        ([(T.TRANSITION, {"memory": {"n": 1}})], {"steps": 1, "memory": {"n": 1}}),
        ([(T.TRANSITION, {"memory": 1}), (T.TRANSITION, {"memory": None})], {"steps": 2, "memory": None}),
        ([(T.TRANSITION, {"memory": 1}), T.CLAIMED], {"steps": 1, "memory": 1}),
        ([T.TIMER_STARTED], {"steps": 0}),
        ([T.TIMER_STARTED, T.TIMER_FIRED], {"steps": 1}),
        ([T.CALL_COMPLETED], {"steps": 1}),
        ([(T.WAITING, {"wake_at": at(60)})], {"parked": True, "wake_at": at(60)}),
        ([(T.WAITING, {"wake_at": at(60)}), T.CLAIMED], {"parked": False, "wake_at": None}),
        ([(T.WAITING, {"wake_at": at(60)}), T.CANCEL_REQUESTED], {"parked": False, "cancel_requested": True}),
        ([T.CANCEL_REQUESTED, T.CLAIMED], {"cancel_requested": True, "status": StatusValue.PENDING}),
        ([(T.OUTPUT, {"output": 7})], {"output": 7, "status": StatusValue.PENDING, "steps": 0}),
        ([(T.SUCCEEDED, {"output": 7})], {"output": 7, "status": StatusValue.COMPLETE, "ended_at": at(2)}),
        ([(T.FAILED, {"error": ERROR})], {"error": ERROR, "status": StatusValue.FAILED, "ended_at": at(2)}),
        ([T.CANCELLED], {"error": None, "status": StatusValue.CANCELLED, "ended_at": at(2)}),
        # The error of a call is the script's to handle, and not the run's.
        ([(T.CALL_COMPLETED, {"error": ERROR})], {"error": None, "status": StatusValue.PENDING}),
    ],
    ids=lambda value: "-".join(str(step[0] if isinstance(step, tuple) else step) for step in value) or "nothing",
)
def test_fold(steps: list[Step], expected: dict[str, Any]) -> None:
    status = folded(T.STARTED, *steps)
    assert shown(status, *expected) == expected
    assert status.history_sequence == 1 + len(steps)


@pytest.mark.parametrize("end", sorted(TERMINAL_TYPES))
@pytest.mark.parametrize("later", list(EventType))
def test_nothing_follows_the_end(end: EventType, later: EventType) -> None:
    with pytest.raises(InvalidInput, match=f"{later} at sequence 3 cannot follow"):
        folded(T.STARTED, end, later)


@pytest.mark.parametrize("first", [kind for kind in EventType if kind is not T.STARTED])
def test_nothing_is_folded_without_its_start(first: EventType) -> None:
    with pytest.raises(InvalidInput, match="expected started"):
        folded(first)


def test_an_instance_starts_once() -> None:
    with pytest.raises(InvalidInput, match="started at sequence 2"):
        folded(T.STARTED, T.STARTED)


def test_exactly_three_types_end_an_instance() -> None:
    ends = {kind for kind in EventType if kind is not T.STARTED and folded(T.STARTED, kind).terminal}
    assert ends == TERMINAL_TYPES == {T.SUCCEEDED, T.FAILED, T.CANCELLED}


def test_folding_does_not_change_what_it_was_given() -> None:
    def step(status: InstanceStatus | None, event: InstanceEvent) -> InstanceStatus:
        before = encode_status(status) if status else None
        after = fold(status, event)
        assert (encode_status(status) if status else None) == before
        return after

    reduce(step, history(T.STARTED, (T.TRANSITION, {"memory": [1]}), (T.SUCCEEDED, {"output": 1})), None)


def test_a_status_tells_how_many_bytes_its_history_has() -> None:
    events = [event.replace(size=100 + place) for place, event in enumerate(history(T.STARTED, T.CLAIMED, T.CANCELLED))]
    assert reduce(fold, events, cast(InstanceStatus | None, None)).history_bytes == 303


def test_bytes_are_not_guessed_where_the_first_events_were_not_counted() -> None:
    uncounted = folded(T.STARTED).replace(history_bytes=None)
    assert b"historyBytes" not in encode_status(uncounted)
    assert fold(uncounted, history(T.STARTED, T.CLAIMED)[1]).history_bytes is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ErrorInfo(name="E", message="m"), "E: m"),
        (ErrorInfo(name="E", message="m", line=1, column=2), "E: m (line 1, column 2)"),
        (ErrorInfo(name="E", message="m\ncaused by F: n (line 3)", line=1), "E: m (line 1)\ncaused by F: n (line 3)"),
    ],
)
def test_an_error_is_told_with_its_place_and_then_with_what_is_behind_it(error: ErrorInfo, text: str) -> None:
    assert error.text() == text
