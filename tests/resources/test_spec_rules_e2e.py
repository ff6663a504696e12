"""Every rule for a spec against a real API server, with the very words that a user reads."""

from typing import Any

import pytest

from tests.fixtures.workflowruns import Kubectl, manifest
from tests.resources.words import INVALID, one_of_several

pytestmark = pytest.mark.e2e

SCRIPT = "function main() {}"
FROM_CONFIG_MAP = {"configMapKeyRef": {"name": "scripts", "key": "main.js"}}
ONE_SOURCE = (
    f"{INVALID}spec: Invalid value: exactly one of spec.script and spec.scriptFrom is required: "
    "script holds the source itself, scriptFrom names the ConfigMap key that holds it"
)
ABSENT = object()


REFUSED_SPECS = [
    pytest.param(ABSENT, one_of_several("spec: Required value"), id="no spec"),
    pytest.param({}, ONE_SOURCE, id="no source"),
    pytest.param({"script": SCRIPT, "scriptFrom": FROM_CONFIG_MAP}, ONE_SOURCE, id="two sources"),
    pytest.param(
        {"script": ""},
        f'{INVALID}spec.script: Invalid value: "": spec.script in body should be at least 1 chars long',
        id="empty script",
    ),
    pytest.param(
        {"script": "x" * 65_537},
        one_of_several("spec.script: Too long: may not be more than 65536 bytes"),
        id="script too long",
    ),
    pytest.param(
        {"script": 1},
        one_of_several('spec.script: Invalid value: "integer": spec.script in body must be of type string: "integer"'),
        id="script is a number",
    ),
    pytest.param(
        {"scriptFrom": {}},
        one_of_several("spec.scriptFrom.configMapKeyRef: Required value"),
        id="source names nothing",
    ),
    pytest.param(
        {"scriptFrom": {"configMapKeyRef": {"name": "scripts"}}},
        one_of_several("spec.scriptFrom.configMapKeyRef.key: Required value"),
        id="source without key",
    ),
    pytest.param(
        {"scriptFrom": {"configMapKeyRef": {"name": "../secrets", "key": "main.js"}}},
        f'{INVALID}spec.scriptFrom.configMapKeyRef.name: Invalid value: "../secrets": '
        "spec.scriptFrom.configMapKeyRef.name in body should match "
        r"'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'",
        id="name that climbs",
    ),
    pytest.param(
        {"scriptFrom": {"configMapKeyRef": {"name": "scripts", "key": "a/b"}}},
        f'{INVALID}spec.scriptFrom.configMapKeyRef.key: Invalid value: "a/b": '
        "spec.scriptFrom.configMapKeyRef.key in body should match '^[-._a-zA-Z0-9]+$'",
        id="key that no ConfigMap can have",
    ),
    pytest.param(
        {"script": SCRIPT, "entrypoint": "1st"},
        f'{INVALID}spec.entrypoint: Invalid value: "1st": spec.entrypoint in body should match '
        r"'^[\p{L}_$][\p{L}\p{N}_$]*$'",
        id="entrypoint is no identifier",
    ),
    pytest.param(
        {"script": SCRIPT, "entrypoint": "x" * 129},
        one_of_several("spec.entrypoint: Too long: may not be more than 128 bytes"),
        id="entrypoint too long",
    ),
    pytest.param(
        {"script": SCRIPT, "entrypont": "main"},
        'Error from server (BadRequest): error when creating "STDIN": WorkflowRun in version "v1alpha1" cannot be '
        'handled as a WorkflowRun: strict decoding error: unknown field "spec.entrypont"',
        id="typing error",
    ),
]


@pytest.mark.parametrize(("spec", "words"), REFUSED_SPECS)
def test_a_wrong_spec_is_refused(kubectl: Kubectl, spec: Any, words: str) -> None:
    document = manifest("run", spec)
    if spec is ABSENT:
        del document["spec"]
    assert kubectl.refusal("apply", "-f", "-", document=document) == words


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("run", {"script": SCRIPT}),
        ("run", {"scriptFrom": FROM_CONFIG_MAP, "entrypoint": "$_größe9", "input": None}),
        ("run", {"script": "ü" * 65_536, "entrypoint": "x" * 128, "input": {"a": [None, {"b": None}]}}),
        ("a.b-c." + "x" * 247, {"script": SCRIPT, "input": "text"}),
    ],
)
def test_a_right_spec_is_kept_as_it_was_written(kubectl: Kubectl, name: str, spec: Any) -> None:
    kubectl("create", "-f", "-", document=manifest(name, spec))
    run = kubectl.get(name)
    assert run["spec"] == spec
    assert run["status"] == {"observedGeneration": -1, "phase": "Pending"}


def test_suspend_may_be_added_changed_and_removed(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=manifest("run", {"script": SCRIPT}))
    for value in ("true", "false", "null"):
        kubectl("patch", "workflowrun", "run", "--type", "merge", "-p", f'{{"spec":{{"suspend":{value}}}}}')
    assert kubectl.get("run")["spec"] == {"script": SCRIPT}


@pytest.mark.parametrize("value", ["true", "false"])
def test_a_run_that_has_ended_can_no_more_be_suspended(kubectl: Kubectl, value: str) -> None:
    """Its generation would rise, and nobody would ever observe it."""
    kubectl("create", "-f", "-", document=manifest("run", {"script": SCRIPT}))
    patched = ("patch", "workflowrun", "run", "--type", "merge", "-p")
    kubectl(*patched, '{"status":{"observedGeneration":1,"phase":"Complete"}}', "--subresource", "status")
    words = f"{INVALID}<nil>: Forbidden: spec.suspend is immutable once the run has ended"
    assert kubectl.refusal(*patched, f'{{"spec":{{"suspend":{value}}}}}') == words
    kubectl(*patched, '{"metadata":{"labels":{"a":"b"}}}')


def immutable(*fields: str) -> str:
    remedy = "a run keeps what it was created with; create a new WorkflowRun instead"
    lines = [f"spec: Forbidden: spec.{field} is immutable: {remedy}" for field in fields]
    return INVALID + (lines[0] if len(lines) == 1 else "".join(f"\n* {line}" for line in lines))


def with_input(value: Any) -> dict[str, Any]:
    return {"script": SCRIPT} | ({} if value is ABSENT else {"input": value})


CHANGED_SPECS = [
    pytest.param({"script": "1"}, {"script": "2"}, ("script",), id="script"),
    pytest.param({"script": "1"}, {"scriptFrom": FROM_CONFIG_MAP}, ("script", "scriptFrom"), id="other source"),
    pytest.param(
        {"scriptFrom": FROM_CONFIG_MAP},
        {"scriptFrom": {"configMapKeyRef": {"name": "scripts", "key": "other.js"}}},
        ("scriptFrom",),
        id="key of the ConfigMap",
    ),
    pytest.param({"script": "1"}, {"script": "1", "entrypoint": "f"}, ("entrypoint",), id="entrypoint added"),
    pytest.param({"script": "1", "entrypoint": "f"}, {"script": "1"}, ("entrypoint",), id="entrypoint removed"),
    pytest.param(
        {"script": "1", "entrypoint": "f"},
        {"script": "1", "entrypoint": "g"},
        ("entrypoint",),
        id="entrypoint changed",
    ),
    pytest.param({"script": "1"}, {"script": "2", "input": 0}, ("script", "input"), id="two at once"),
]

CHANGED_INPUTS = [
    (ABSENT, 0),
    (ABSENT, ""),
    (ABSENT, {}),
    (None, False),
    (0, ABSENT),
    ({}, None),
    (1, 2),
    (1, "1"),
    (0, False),
    ("a", "b"),
    ([1, 2], [2, 1]),
    ([], [None]),
    ({}, []),
    ({"a": 1}, {"b": 1}),
    ({"a": 1}, {"a": 2}),
    ({"a": 1}, {"a": 1, "b": 1}),
    ({"a": None}, {"b": None}),
    ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": 2}]}}),
    ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"d": 1}]}}),
]


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    CHANGED_SPECS
    + [
        pytest.param(with_input(old), with_input(new), ("input",), id=f"{with_input(old)}->{with_input(new)}")
        for old, new in CHANGED_INPUTS
    ],
)
def test_no_input_of_a_run_can_change(kubectl: Kubectl, before: Any, after: Any, fields: tuple[str, ...]) -> None:
    kubectl("create", "-f", "-", document=manifest("run", before))
    assert kubectl.refusal("replace", "-f", "-", document=manifest("run", after)) == immutable(*fields)
    assert kubectl.get("run")["spec"] == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (with_input({"a": 1, "b": [None]}), with_input({"b": [None], "a": 1})),
        # Null and absent are the same to a script, and to Kubernetes.
        (with_input(None), with_input(ABSENT)),
        (with_input(ABSENT), with_input(None)),
    ],
)
def test_the_same_inputs_can_be_sent_again(kubectl: Kubectl, before: Any, after: Any) -> None:
    kubectl("create", "-f", "-", document=manifest("run", before))
    again = manifest("run", after)
    again["metadata"]["labels"] = {"team": "a"}
    kubectl("replace", "-f", "-", document=again)
    assert kubectl.get("run")["metadata"]["labels"] == {"team": "a"}
