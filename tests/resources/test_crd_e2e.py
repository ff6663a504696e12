"""The CRD as the API server serves it and as kubectl shows it."""

import json

import pytest
import yaml

from dev.control_plane import ControlPlane
from tests.fixtures.workflowruns import CRD_FILE, CRD_NAME, PROJECT, Kubectl, manifest

pytestmark = pytest.mark.e2e

RECONCILING = {
    "type": "Reconciling",
    "status": "True",
    "reason": "Executing",
    "message": "step 3 of the script runs",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


def test_the_crd_is_accepted_and_structural(workflowrun_api: ControlPlane) -> None:
    crd = json.loads(workflowrun_api.kubectl("get", "crd", CRD_NAME, "-o", "json"))
    states = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
    assert states["Established"] == "True"
    assert states["NamesAccepted"] == "True"
    assert states.get("NonStructuralSchema", "False") == "False"
    assert crd["status"]["acceptedNames"]["shortNames"] == ["wfr"]


def test_applying_the_crd_again_would_change_nothing(workflowrun_api: ControlPlane) -> None:
    assert workflowrun_api.kubectl("diff", "-f", str(CRD_FILE)) == ""


@pytest.mark.parametrize("how", [(), ("--server-side",)])
@pytest.mark.parametrize(
    "spec",
    [
        {"script": "1"},
        {"script": "1", "entrypoint": "main", "input": {"a": [1.0, 1.5, {"b": [None]}], "c": ""}},
        {"scriptFrom": {"configMapKeyRef": {"name": "scripts", "key": "main.js"}}, "input": False},
    ],
)
def test_applying_a_run_again_changes_nothing(kubectl: Kubectl, spec: object, how: tuple[str, ...]) -> None:
    document = manifest("run", spec)
    # The first write after the creation stores the default of the status, so it is a write even if it changes nothing.
    for _ in range(2):
        kubectl("apply", *how, "-f", "-", document=document)
    before = kubectl.get("run")
    assert kubectl("diff", *how, "-f", "-", document=document) == ""
    kubectl("apply", *how, "-f", "-", document=document)
    assert kubectl.get("run") == before


def test_kubectl_drops_nulls_in_the_input_unless_it_applies_server_side(kubectl: Kubectl) -> None:
    document = manifest("run", {"script": "1", "input": {"a": None, "b": 1}})
    kubectl("apply", "-f", "-", document=document)
    assert kubectl.get("run")["spec"]["input"] == {"b": 1}
    kubectl("delete", "workflowrun", "run")
    kubectl("apply", "--server-side", "-f", "-", document=document)
    assert kubectl.get("run")["spec"]["input"] == {"a": None, "b": 1}


def columns(table: str) -> dict[str, str]:
    """Header to cell of the one row of a table, cut where the header's columns begin."""
    header, row = table.splitlines()
    starts = [i for i, letter in enumerate(header) if letter != " " and (i == 0 or header[i - 1] == " ")]
    ends = [*starts[1:], max(len(header), len(row))]
    return {header[s:e].strip(): row[s:e].strip() for s, e in zip(starts, ends, strict=True)}


def test_columns_tell_the_state(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=manifest("run", {"script": "1"}))
    assert list(columns(kubectl("get", "wfr"))) == ["NAME", "PHASE", "REASON", "STEPS", "ENDED", "AGE"]

    status = {
        "observedGeneration": 1,
        "phase": "Running",
        "steps": 3,
        "instanceID": "an-id",
        "conditions": [RECONCILING | {"type": "Stalled", "status": "False", "reason": "No"}, RECONCILING],
    }
    patch = json.dumps([{"op": "add", "path": "/status", "value": status}])
    kubectl("patch", "workflowrun", "run", "--subresource=status", "--type=json", "-p", patch)
    shown = columns(kubectl("get", "workflows", "-o", "wide"))
    assert shown["PHASE"] == "Running"
    assert shown["STEPS"] == "3"
    assert shown["REASON"] == "Executing"
    assert shown["MESSAGE"] == "step 3 of the script runs"
    assert shown["INSTANCE"] == "an-id"


def test_runs_can_be_selected_by_phase(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=manifest("run", {"script": "1"}))
    assert kubectl("get", "wfr", "--field-selector=status.phase=Pending", "-o", "name") == (
        "workflowrun.workflow-operator.dev/run\n"
    )
    assert kubectl("get", "wfr", "--field-selector=status.phase=Failed", "-o", "name") == ""


def test_kubectl_explains_every_field(workflowrun_api: ControlPlane) -> None:
    explained = workflowrun_api.kubectl("explain", "workflowrun", "--recursive")
    for field in ("script", "scriptFrom", "entrypoint", "input", "historySequence", "completionTime"):
        assert f"{field}\t<" in explained, field
    assert "Function to call" in workflowrun_api.kubectl("explain", "workflowrun.spec.entrypoint")


def test_the_example_of_the_documentation_is_accepted(kubectl: Kubectl) -> None:
    page = (PROJECT / "docs" / "workflowrun.md").read_text()
    [example] = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]
    kubectl("apply", "-f", "-", document=yaml.safe_load(example))
    assert kubectl.get("greet")["spec"]["input"] == {"name": "World"}
