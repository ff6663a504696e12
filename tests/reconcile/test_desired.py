"""The whole status, from object and instance."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.cluster import MemoryCluster
from tests.fakes.records import status as instance_status
from workflow_operator.history import ErrorInfo, ExecutorRef, InstanceKey, InstanceStatus, Json, StatusValue, WaitedFor
from workflow_operator.reconcile.showing.desired import MAX_VALUE_BYTES, Problem, bounded, desired_status, slim
from workflow_operator.reconcile.showing.waiting import waits
from workflow_operator.resources.run import RunStatus, WorkflowRun
from workflow_operator.resources.schema import to_wire

UID = UUID("11111111-2222-4333-8444-555555555555")
KEY = InstanceKey("default", UID)
NOW = datetime(2026, 1, 1, 12, 0, 30, 123456, tzinfo=UTC)
EXECUTOR = ExecutorRef(id="replica", epoch=0)


def run(status: RunStatus | None = None) -> WorkflowRun:
    parsed = WorkflowRun.model_validate(MemoryCluster().create("run", UID))
    return parsed if status is None else parsed.model_copy(update={"status": status})


def instance(**fields: Any) -> InstanceStatus:
    return instance_status(KEY, 7, created_at=NOW - timedelta(seconds=20), **fields)


def conditions(status: RunStatus) -> list[tuple[str, str]]:
    return [(condition.type, condition.reason) for condition in status.conditions if condition.status == "True"]


@pytest.mark.parametrize(
    ("found", "problem", "phase", "expected"),
    [
        (None, None, "Pending", [("Reconciling", "Starting")]),
        (None, Problem("ConfigMapNotFound", "no such"), "Pending", [("Reconciling", "ConfigMapNotFound")]),
        (None, Problem("InvalidScript", "too long", stalled=True), "Pending", [("Stalled", "InvalidScript")]),
        (instance(), None, "Pending", [("Reconciling", "Queued")]),
        (instance(executor=EXECUTOR), None, "Running", [("Reconciling", "Executing")]),
        (instance(executor=EXECUTOR, parked=True, wake_at=NOW), None, "Running", [("Reconciling", "Sleeping")]),
        (instance(executor=EXECUTOR, cancel_requested=True), None, "Running", [("Reconciling", "Cancelling")]),
        (
            instance(status=StatusValue.COMPLETE, ended_at=NOW),
            None,
            "Complete",
            [("Complete", "Succeeded"), ("Finished", "Succeeded")],
        ),
        (
            instance(status=StatusValue.FAILED, ended_at=NOW, error=ErrorInfo(name="MemoryLimit", message="no")),
            None,
            "Failed",
            [("Failed", "MemoryLimit"), ("Stalled", "MemoryLimit"), ("Finished", "MemoryLimit")],
        ),
        (
            instance(status=StatusValue.FAILED, ended_at=NOW, error=ErrorInfo(name="my error!", message="no")),
            None,
            "Failed",
            [("Failed", "Thrown"), ("Stalled", "Thrown"), ("Finished", "Thrown")],
        ),
        (
            instance(status=StatusValue.CANCELLED, ended_at=NOW),
            None,
            "Cancelled",
            [("Finished", "Cancelled")],
        ),
    ],
)
def test_phase_and_conditions(
    found: InstanceStatus | None, problem: Problem | None, phase: str, expected: list[tuple[str, str]]
) -> None:
    desired = desired_status(run(), found, problem, NOW)
    assert (desired.phase, conditions(desired)) == (phase, expected)
    assert desired.observed_generation == 1


NAP = WaitedFor(kind="timer", name="nap", until="2026-01-05T03:04:05.250000Z")
PAUSE = WaitedFor(kind="retry", name="order", until="2026-01-05T03:04:05.250000Z")
APPROVAL = WaitedFor(kind="event", name="approval", types=("approve", "reject"))
BOUNDED = WaitedFor(kind="event", name="x" * 256, until="2026-01-05T03:04:05.250000Z", types=("a" * 100,) * 16)


@pytest.mark.parametrize(
    ("waited", "reason", "message"),
    [
        ((NAP,), "Sleeping", "the script sleeps until"),
        ((NAP, APPROVAL), "Sleeping", "the script sleeps until"),
        ((PAUSE,), "RetryBackoff", "step order is tried again at 2026-01-05T03:04:05Z"),
        ((APPROVAL,), "WaitingForEvent", "the script waits for the event approve or reject (approval)"),
        ((APPROVAL, NAP), "WaitingForEvent", "approve or reject (approval), and for 1 more"),
        ((BOUNDED,), "WaitingForEvent", " until 2026-01-05T03:04:05Z"),
    ],
)
def test_what_a_parked_run_waits_for(waited: tuple[WaitedFor, ...], reason: str, message: str) -> None:
    wake_at = None if waited == (APPROVAL,) else NOW
    found = instance(executor=EXECUTOR, parked=True, wake_at=wake_at, waiting_for=waited)
    (condition,) = [each for each in desired_status(run(), found, None, NOW).conditions if each.status == "True"]
    assert (condition.type, condition.reason) == ("Reconciling", reason)
    assert message in condition.message
    assert len(condition.message) < 400


def test_what_it_waits_for_is_in_fields_too() -> None:
    found = instance(executor=EXECUTOR, parked=True, waiting_for=(NAP, APPROVAL))
    shown = to_wire(desired_status(run(), found, None, NOW))
    assert shown["waitingFor"] == [
        {"kind": "Timer", "name": "nap", "until": "2026-01-05T03:04:05Z"},
        {"kind": "Event", "name": "approval", "types": ["approve", "reject"]},
    ]
    assert "waitingFor" not in to_wire(desired_status(run(), instance(executor=EXECUTOR), None, NOW))


@pytest.mark.parametrize(
    ("waited", "shown"),
    [
        ((NAP,) * 9, 8),
        # 2,048 characters in all: 128 and 16 times 100 of the first leave room for no other such.
        ((BOUNDED, BOUNDED, NAP), 1),
        ((NAP.replace(kind="ofALaterRelease" * 9),), 1),
    ],
)
def test_what_is_shown_of_waits_is_bounded(waited: tuple[WaitedFor, ...], shown: int) -> None:
    found = waits(waited)
    assert found is not None
    # The models have the bounds of the schema: a status that it refuses would never be written.
    assert len(found) == shown


@pytest.mark.parametrize("until", ["", "soon", "2026-01-05", "2026-01-05T03:04:05", "99999-01-01T00:00:00Z"])
def test_a_time_that_is_none_is_left_out(until: str) -> None:
    assert [each.until for each in waits((NAP.replace(until=until),)) or ()] == [None]


@pytest.mark.parametrize(
    ("received", "taken", "shown"),
    [
        (0, 0, None),
        (3, 1, {"received": 3, "unconsumed": 2}),
        (1, 2, {"received": 1, "unconsumed": 0}),
    ],
)
def test_events_from_outside_are_counted(received: int, taken: int, shown: object) -> None:
    found = instance(executor=EXECUTOR, signals_received=received, signals_taken=taken)
    assert to_wire(desired_status(run(), found, None, NOW)).get("signals") == shown


def test_an_error_shows_its_place() -> None:
    stack = "at price (line 3, column 5)\nat main (line 9, column 1)"
    error = ErrorInfo(name="TypeError", message="x is not a function", line=3, column=5, stack=stack)
    desired = desired_status(run(), instance(status=StatusValue.FAILED, ended_at=NOW, error=error), None, NOW)
    assert desired.conditions[0].message == "TypeError: x is not a function (line 3, column 5)"
    assert desired.error is not None
    assert desired.error.model_dump() == error.to_dict()


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [(3, None, "E: m (line 3)"), (None, None, "E: m"), (0, 10**30, None)],
)
def test_a_place_is_told_as_far_as_it_is_known(line: int | None, column: int | None, words: str | None) -> None:
    error = ErrorInfo(name="E", message="m", line=line, column=column)
    desired = desired_status(run(), instance(status=StatusValue.FAILED, ended_at=NOW, error=error), None, NOW)
    assert desired.error is not None
    if words is not None:
        assert desired.conditions[0].message == words
    else:
        assert (desired.error.line, desired.error.column) == (None, None), "the API server refuses such a place"


def test_all_that_the_instance_tells_is_mirrored() -> None:
    found = instance(
        status=StatusValue.COMPLETE, ended_at=NOW, steps=4, memory={"a": None}, output=[1, None], executor=EXECUTOR
    )
    assert to_wire(desired_status(run(), found, None, NOW)) | {"conditions": []} == {
        "observedGeneration": 1,
        "phase": "Complete",
        "conditions": [],
        "instanceID": str(UID),
        "startTime": "2026-01-01T12:00:10Z",
        "completionTime": "2026-01-01T12:00:30Z",
        "steps": 4,
        "memory": {"a": None},
        "output": [1, None],
        "historySequence": 7,
    }


@pytest.mark.parametrize(
    "found", [None, instance(executor=EXECUTOR), instance(status=StatusValue.COMPLETE, ended_at=NOW)]
)
def test_a_status_that_was_written_is_the_desired_one_later_too(found: InstanceStatus | None) -> None:
    first = desired_status(run(), found, None, NOW)
    stored = RunStatus.model_validate(to_wire(first))
    assert desired_status(run(stored), found, None, NOW + timedelta(hours=1)) == stored


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (None, None),
        (None, Problem("InvalidInput", "too large", failed=True)),
        (instance(executor=EXECUTOR), None),
        (instance(status=StatusValue.COMPLETE, ended_at=NOW), None),
        (instance(status=StatusValue.FAILED, ended_at=NOW), None),
    ],
)
@pytest.mark.parametrize("time", ["2001-02-03T04:05:06Z", "0001-01-01T00:00:00.250000Z", "9999-12-31T23:59:59.999999Z"])
def test_what_the_api_server_holds_to_be_set_for_good_stays_as_somebody_set_it(
    found: InstanceStatus | None, problem: Problem | None, time: str
) -> None:
    final = {"type": "Complete", "status": "True", "reason": "Mine", "message": "m", "lastTransitionTime": time}
    forged = {"startTime": time, "completionTime": time, "historySequence": 2**63 - 1, "conditions": [final]}
    status = RunStatus.model_validate({"observedGeneration": 1, "phase": "Pending"} | forged)
    written = to_wire(desired_status(run(status), found, problem, NOW))
    assert final in written.pop("conditions")
    assert forged.items() <= (written | {"conditions": [final]}).items()


def test_nothing_of_a_spec_is_kept_of_an_instance() -> None:
    labels = {"a": "b"}
    kept = slim(instance(script="1", input=[1], metadata=labels, memory="m" * MAX_VALUE_BYTES))
    assert (kept.script, kept.input, kept.metadata) == (None, None, {})
    assert len(kept.to_json()) < 1000


def test_large_values_are_replaced_by_where_to_read_them() -> None:
    large = "x" * MAX_VALUE_BYTES
    found = instance(status=StatusValue.COMPLETE, ended_at=NOW, output=large, memory=large)
    desired = desired_status(run(), found, None, NOW)
    assert desired.output == {
        "truncated": True,
        "bytes": MAX_VALUE_BYTES + 2,
        "readWith": f"workflow-operator output default/{UID}",
    }
    assert desired.memory == desired.output | {"readWith": f"workflow-operator output default/{UID} --memory"}


def test_values_up_to_the_bound_stay() -> None:
    value = "x" * (MAX_VALUE_BYTES - 2)
    assert bounded(Json.of(value), "x") == Json.of(value)


@pytest.mark.parametrize("text", ["日本" * 1080, "漢" * 4095, "\U0001f600" * 3071], ids=["6.5 KB", "most", "emoji"])
def test_a_value_is_as_large_as_its_utf_8(text: str) -> None:
    found = instance(status=StatusValue.COMPLETE, ended_at=NOW, output=text, memory=text + "x" * MAX_VALUE_BYTES)
    desired = desired_status(run(), found, None, NOW)
    assert desired.output == text
    assert desired.memory["bytes"] == len(text.encode()) + MAX_VALUE_BYTES + 2


@pytest.mark.parametrize("stored", [b"[" * 5000, b'"\xff"', b"9" * 5000], ids=lambda data: repr(data[:4]))
def test_a_value_that_nobody_can_read_costs_the_run_nothing_else(stored: bytes) -> None:
    found = instance(status=StatusValue.COMPLETE, ended_at=NOW, output=Json(stored), memory=7)
    desired = desired_status(run(), found, None, NOW)
    assert (desired.phase, desired.memory) == ("Complete", 7)
    assert "unreadable" in desired.output


def test_the_largest_status_stays_below_32_kib() -> None:
    error = ErrorInfo(name="n" * 1000, message="m" * 100_000, line=1, column=1, stack="s" * 100_000)
    value = "x" * (MAX_VALUE_BYTES - 2)
    found = instance(status=StatusValue.FAILED, ended_at=NOW, error=error, memory=value)
    assert len(str(to_wire(desired_status(run(), found, None, NOW))).encode()) < 32 * 1024
