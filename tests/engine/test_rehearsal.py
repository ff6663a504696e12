"""What is said of a run that does not come out the same when its script runs again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.events import event
from workflow_operator.engine.outcome import Cancelled, Failed, Succeeded
from workflow_operator.engine.rehearsal import Beyond, difference
from workflow_operator.history import ErrorInfo, EventType, Json
from workflow_operator.history.errors import NonDeterminism, Thrown, Timeout

SUCCEEDED = event(EventType.SUCCEEDED, output={"a": 1})
FAILED = event(EventType.FAILED, error=ErrorInfo(name="RangeError", message="r"))
TIMED_OUT = event(EventType.FAILED, error=ErrorInfo(name="Timeout", message="t"))
CANCELLED = event(EventType.CANCELLED, reason="r")
GOES_ON = event(EventType.TRANSITION, function="f", memory=1)
SAME = Succeeded(Json(b'{"a": 1}'))
OTHER = Succeeded(Json(b'{"a":2}'))


@pytest.mark.parametrize(
    ("last", "outcome", "said"),
    [
        (SUCCEEDED, SAME, None),
        (SUCCEEDED, OTHER, 'the output is {"a":1}, and {"a":2} when the script runs again'),
        (SUCCEEDED, Failed(Thrown("Error", "x")), "fails when the script runs again: Error: x"),
        (SUCCEEDED, Beyond("step.do (callCompleted, call 0.2)"), "asks for more when the script runs again: step.do"),
        (SUCCEEDED, Failed(NonDeterminism("call 0.1: other")), "call 0.1: other"),
        (FAILED, Failed(Thrown("RangeError", "another text")), None),
        (FAILED, Failed(Thrown("TypeError", "x")), "failed with RangeError, and with TypeError"),
        (FAILED, SAME, "failed with RangeError, and succeeds when the script runs again"),
        (FAILED, Failed(Timeout("slow machine")), None),
        (TIMED_OUT, SAME, None),
        (TIMED_OUT, Failed(NonDeterminism("call 0.1: other")), "call 0.1: other"),
        (CANCELLED, Beyond("x"), None),
        (CANCELLED, Cancelled("x"), None),
        (GOES_ON, Beyond("x"), None),
    ],
)
def test_what_differs(last: Any, outcome: Any, said: str | None) -> None:
    found = difference(last, outcome)
    assert found is None if said is None else said in (found or "")
