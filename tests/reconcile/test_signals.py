"""What becomes of a WorkflowSignal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from workflow_operator.history.errors import (
    InvalidInput,
    NotFound,
    RunFinished,
    TooManySignals,
    Unavailable,
    WorkflowError,
)
from workflow_operator.reconcile.signals import Verdict, expires_in, failed, key_of, shown
from workflow_operator.resources.schema import to_wire
from workflow_operator.resources.signal import SignalPhase, SignalStatus, WorkflowSignal

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PENDING, DELIVERED, REJECTED = SignalPhase


@pytest.mark.parametrize(
    ("error", "phase", "reason"),
    [
        (RunFinished("it has ended"), REJECTED, "RunFinished"),
        (TooManySignals("10000 wait"), PENDING, "TooManySignals"),
        (NotFound("no history"), PENDING, "RunNotStarted"),
        (InvalidInput("too large"), REJECTED, "InvalidSignal"),
        (Unavailable("no answer"), PENDING, "NatsUnavailable"),
    ],
)
def test_what_an_error_means_for_a_signal(error: WorkflowError, phase: SignalPhase, reason: str) -> None:
    assert failed(error)[:2] == (phase, reason)


def signal(status: dict[str, Any] | None = None, **spec: Any) -> WorkflowSignal:
    metadata = {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 1}
    return WorkflowSignal.model_validate(
        {
            "metadata": metadata | {"creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"runRef": {"name": "r"}, "type": "t", **spec},
            **({} if status is None else {"status": status}),
        }
    )


def test_a_status_tells_the_verdict_and_keeps_the_time_of_what_stays() -> None:
    first = shown(Verdict(PENDING, "RunNotFound", "not there"), SignalStatus(phase=PENDING), 1, NOW)
    later = shown(Verdict(PENDING, "RunNotStarted", "not begun"), first, 1, NOW + timedelta(hours=1))
    assert later.conditions[0].last_transition_time == NOW
    done = shown(Verdict(DELIVERED, "Delivered", "there", 31), later, 1, NOW + timedelta(hours=2))
    assert to_wire(done) == {
        "phase": "Delivered",
        "historySequence": 31,
        "completionTime": "2026-01-02T05:04:05Z",
        "conditions": [
            {
                "type": "Delivered",
                "status": "True",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-01-02T05:04:05Z",
                "reason": "Delivered",
                "message": "there",
            }
        ],
    }


@pytest.mark.parametrize(
    ("status", "spec", "seconds"),
    [
        (None, {}, None),
        ({"phase": "Delivered", "completionTime": "2026-01-02T03:04:05Z"}, {}, 86400),
        ({"phase": "Rejected", "completionTime": "2026-01-02T03:04:00Z"}, {"ttlSecondsAfterDelivered": 60}, 55),
        ({"phase": "Delivered", "completionTime": "2026-01-02T03:04:05Z"}, {"ttlSecondsAfterDelivered": 0}, 0),
        ({"phase": "Delivered", "completionTime": "2026-01-01T03:04:05Z"}, {"ttlSecondsAfterDelivered": 1}, -86399),
    ],
)
def test_an_object_goes_when_its_time_is_over(status: Any, spec: Any, seconds: float | None) -> None:
    assert expires_in(signal(status, **spec), NOW) == seconds


def test_what_is_no_object_is_not_taken_in() -> None:
    with pytest.raises(LookupError):
        key_of({"metadata": {"name": "a"}})
