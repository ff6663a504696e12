from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from workflow_operator.resources.run import MAX_ERROR_NAME_CHARS, Phase, RunError, RunSpec, RunStatus, WorkflowRun
from workflow_operator.resources.schema import MAX_MESSAGE_CHARS, to_wire

METADATA = {
    "name": "nightly",
    "namespace": "team-a",
    "uid": "d6fd5cf7-4f89-41cc-bd5d-a94b92325a07",
    "resourceVersion": "205",
    "generation": 1,
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "managedFields": [],
}


def test_an_object_of_the_api_server_is_read() -> None:
    run = WorkflowRun.model_validate(
        {
            "apiVersion": "workflow-operator.dev/v1alpha1",
            "kind": "WorkflowRun",
            "metadata": METADATA,
            "spec": {"scriptFrom": {"configMapKeyRef": {"name": "scripts", "key": "main.js"}}, "later": 1},
        }
    )
    assert run.metadata.resource_version == "205"
    assert run.metadata.deletion_timestamp is None
    assert run.spec.script is None
    assert run.spec.script_from is not None
    assert run.spec.script_from.config_map_key_ref.key == "main.js"
    assert run.status.phase is Phase.PENDING
    assert run.status.observed_generation == -1


def test_a_status_comes_back_from_the_wire_as_it_went() -> None:
    wire: dict[str, Any] = {
        "observedGeneration": 1,
        "phase": "Failed",
        "conditions": [
            {
                "type": "Failed",
                "status": "True",
                "reason": "Thrown",
                "message": "boom",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
        "instanceID": "an-id",
        "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T00:00:01Z",
        "steps": 0,
        "memory": {"a": None, "b": [None, {"c": None}]},
        "output": False,
        "error": {"name": "Error", "message": "boom", "line": 1, "column": 7},
        "historySequence": 0,
    }
    assert to_wire(RunStatus.model_validate(wire)) == wire


def test_times_go_out_in_utc_as_they_are() -> None:
    moment = datetime(2026, 1, 1, 2, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    wire = to_wire(RunStatus(observed_generation=1, phase=Phase.RUNNING, start_time=moment))
    assert wire["startTime"] == "2026-01-01T00:00:00.999999Z"
    moment = moment.replace(microsecond=0)
    wire = to_wire(RunStatus(observed_generation=1, phase=Phase.RUNNING, start_time=moment))
    assert wire["startTime"] == "2026-01-01T00:00:00Z"
    assert RunStatus.model_validate(wire).start_time == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        RunStatus(observed_generation=1, phase=Phase.RUNNING, start_time=datetime(2026, 1, 1))  # noqa: DTZ001


def test_words_for_people_are_cut_to_what_the_api_server_takes() -> None:
    error = RunError(name="n" * 10_000, message="ü" * 10_000)
    assert (len(error.name), len(error.message)) == (MAX_ERROR_NAME_CHARS, MAX_MESSAGE_CHARS)
    assert error.message.endswith("ü…")
    assert RunError(name="E", message="m" * MAX_MESSAGE_CHARS).message == "m" * MAX_MESSAGE_CHARS


@pytest.mark.parametrize("entrypoint", ["main", "_1", "$", "größe", "x" * 128])
def test_an_identifier_is_an_entrypoint(entrypoint: str) -> None:
    assert RunSpec(script="1", entrypoint=entrypoint).entrypoint == entrypoint


@pytest.mark.parametrize("entrypoint", ["", "1st", "a-b", "a.b", "a b", "x" * 129, "a\n"])
def test_anything_else_is_not(entrypoint: str) -> None:
    with pytest.raises(ValidationError, match="entrypoint"):
        RunSpec(script="1", entrypoint=entrypoint)
