"""Every rule for a status against a real API server, with the very words that its writer reads."""

import json
from typing import Any

import pytest

from tests.fixtures.workflowruns import Kubectl, manifest
from tests.resources.words import INVALID, one_of_several

pytestmark = pytest.mark.e2e

SCRIPT = "function main() {}"
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


def condition(kind: str, status: str = "True", **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": "Tested",
        "message": "",
        "lastTransitionTime": EARLY,
    } | fields


def status(phase: str = "Running", **fields: Any) -> dict[str, Any]:
    return {"observedGeneration": 1, "phase": phase} | fields


def forbidden(words: str) -> str:
    return f"{INVALID}status: Forbidden: {words}"


PHASE_IS_FINAL = forbidden("status.phase is final: a run that ended stays as it ended")
CONDITION_IS_FINAL = forbidden(
    "a condition Complete, Failed or Finished that is True is final: it can be neither changed nor removed"
)
SEQUENCE = forbidden("status.historySequence never decreases: a newer status has been written already")


def set_once(field: str) -> str:
    return forbidden(f"status.{field} is immutable once it is set")


FINISHED = [condition("Complete"), condition("Finished")]

REFUSED_STATUS_CHANGES = [
    *(
        pytest.param(status(phase), status("Running"), PHASE_IS_FINAL, id=f"{phase} runs again")
        for phase in ("Complete", "Failed", "Cancelled")
    ),
    pytest.param(status("Failed"), status("Complete"), PHASE_IS_FINAL, id="Failed becomes Complete"),
    pytest.param(status("Complete"), None, PHASE_IS_FINAL, id="status removed"),
    *(
        pytest.param(
            status(conditions=[condition(kind)]),
            status(conditions=[condition(kind, "False")]),
            CONDITION_IS_FINAL,
            id=f"{kind} becomes False",
        )
        for kind in ("Complete", "Failed", "Finished")
    ),
    pytest.param(
        status(conditions=FINISHED), status(conditions=FINISHED[:1]), CONDITION_IS_FINAL, id="one condition gone"
    ),
    pytest.param(status(conditions=FINISHED), status(), CONDITION_IS_FINAL, id="all conditions gone"),
    pytest.param(
        status(conditions=[condition("Finished")]),
        status(conditions=[condition("Finished", message="other")]),
        CONDITION_IS_FINAL,
        id="message of a final condition",
    ),
    pytest.param(status(historySequence=2), status(historySequence=1), SEQUENCE, id="sequence decreases"),
    pytest.param(status(historySequence=2), status(), SEQUENCE, id="sequence gone"),
    *(
        pytest.param(status(**{field: EARLY}), new, set_once(field), id=f"{field} {how}")
        for field in ("startTime", "completionTime")
        for how, new in (("changed", status(**{field: LATE})), ("gone", status()))
    ),
]


def write_status(kubectl: Kubectl, value: Any) -> str:
    patch = json.dumps([{"op": "add", "path": "/status", "value": value}])
    return kubectl.refusal("patch", "workflowrun", "run", "--subresource=status", "--type=json", "-p", patch)


@pytest.mark.parametrize(("before", "after", "words"), REFUSED_STATUS_CHANGES)
def test_what_ended_or_was_told_stays(kubectl: Kubectl, before: Any, after: Any, words: str) -> None:
    kubectl("create", "-f", "-", document=manifest("run", {"script": SCRIPT}))
    assert write_status(kubectl, before) == ""
    assert write_status(kubectl, after) == words
    assert kubectl.get("run")["status"] == before


def test_a_status_may_go_its_way_to_the_end(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=manifest("run", {"script": SCRIPT}))
    ended = status(
        "Complete",
        startTime=EARLY,
        completionTime=LATE,
        historySequence=9,
        conditions=[*FINISHED, condition("Reconciling", "False")],
        output={"a": None, "b": [None, {"c": None}]},
        memory=None,
    )
    for value in (
        status("Pending", conditions=[condition("Reconciling"), condition("Complete", "False")]),
        status(startTime=EARLY, historySequence=1, conditions=[condition("Suspended"), condition("Stalled")]),
        status(startTime=EARLY, historySequence=1, steps=1),
        ended,
        ended | {"observedGeneration": 2, "historySequence": 10, "conditions": FINISHED},
    ):
        assert write_status(kubectl, value) == ""
        assert kubectl.get("run")["status"] == value


REFUSED_STATUSES = [
    pytest.param({"phase": "Running"}, one_of_several("status.observedGeneration: Required value"), id="no generation"),
    pytest.param({"observedGeneration": 1}, one_of_several("status.phase: Required value"), id="no phase"),
    pytest.param(
        status("Done"),
        one_of_several(
            'status.phase: Unsupported value: "Done": supported values: "Pending", "Running", "Complete", "Failed", '
            '"Cancelled"'
        ),
        id="unknown phase",
    ),
    pytest.param(
        status(steps=-1),
        f"{INVALID}status.steps: Invalid value: -1: steps in body should be greater than or equal to 0",
        id="negative steps",
    ),
    pytest.param(
        status(conditions=[condition("Failed"), condition("Failed", "False")]),
        f'{INVALID}status.conditions[1]: Duplicate value: {{"type":"Failed"}}',
        id="one type twice",
    ),
    pytest.param(
        status(conditions=[condition(f"T{n}") for n in range(17)]),
        one_of_several("status.conditions: Too many: 17: must have at most 16 items"),
        id="too many conditions",
    ),
    pytest.param(
        status(conditions=[condition("Failed", "Maybe")]),
        one_of_several(
            'status.conditions[0].status: Unsupported value: "Maybe": supported values: "True", "False", "Unknown"'
        ),
        id="unknown condition status",
    ),
    pytest.param(
        status(conditions=[condition("Failed", reason="not one word")]),
        f'{INVALID}status.conditions[0].reason: Invalid value: "not one word": conditions[0].reason in body should '
        r"match '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$'",
        id="reason of words",
    ),
    pytest.param(
        status(conditions=[condition("Failed", message="x" * 4097)]),
        one_of_several("status.conditions[0].message: Too long: may not be more than 4096 bytes"),
        id="long message",
    ),
    pytest.param(
        status(startTime="yesterday"),
        one_of_several(
            'status.startTime: Invalid value: "yesterday": startTime in body must be of type date-time: "yesterday"'
        ),
        id="no time",
    ),
    pytest.param(
        status(error={"name": "E", "message": "x" * 4097}),
        one_of_several("status.error.message: Too long: may not be more than 4096 bytes"),
        id="long error",
    ),
    pytest.param(
        status(error={"name": "E", "message": "", "line": 0}),
        f"{INVALID}status.error.line: Invalid value: 0: error.line in body should be greater than or equal to 1",
        id="line zero",
    ),
]


@pytest.mark.parametrize(("value", "words"), REFUSED_STATUSES)
def test_a_status_keeps_to_its_schema(kubectl: Kubectl, value: Any, words: str) -> None:
    kubectl("create", "-f", "-", document=manifest("run", {"script": SCRIPT}))
    assert write_status(kubectl, value) == words
