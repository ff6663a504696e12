"""What SECURITY.md advises works as it stands there, on a real API server."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dev.control_plane import ControlPlane
from tests.fixtures.workflowruns import Kubectl, manifest
from tests.security.page import objects

OBJECTS = objects()
SMALL = {"script": "function main() {}"}
FROM_CONFIG_MAP = {"scriptFrom": {"configMapKeyRef": {"name": "scripts", "key": "main.js"}}}
COUNT = "count/workflowruns.workflow-operator.dev"
DEADLINE = 60.0
"""Seconds until the API server has a new policy in force; a few are usual."""

_numbers = itertools.count(1)


def create(kubectl: Kubectl, spec: dict[str, Any]) -> str:
    """Why a run is refused; empty when it was created."""
    return kubectl.refusal("create", "-f", "-", document=manifest(f"run-{next(_numbers)}", spec))


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"after {DEADLINE:.0f} s: {what}"


@pytest.fixture
def policy(workflowrun_api: ControlPlane, kubectl: Kubectl) -> Iterator[Callable[[str], None]]:
    """Apply the policy of a name, and put the test's namespace under it."""
    applied: list[dict[str, Any]] = []

    def apply(name: str) -> None:
        applied.extend(
            OBJECTS[f"{kind}/{name}"] for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
        )
        for each in applied:
            workflowrun_api.kubectl("apply", "-f", "-", input=json.dumps(each))
        labels = applied[-1]["spec"]["matchResources"]["namespaceSelector"]["matchLabels"]
        words = [f"{key}={value}" for key, value in labels.items()]
        workflowrun_api.kubectl("label", "namespace", kubectl.namespace, *words)

    yield apply
    for each in applied:
        workflowrun_api.kubectl("delete", each["kind"], each["metadata"]["name"])


def test_only_reviewed_scripts(policy: Callable[[str], None], kubectl: Kubectl) -> None:
    policy("workflowruns-reviewed-scripts")
    until(lambda: "use spec.scriptFrom" in create(kubectl, SMALL), "a script in the object is still accepted")
    assert create(kubectl, FROM_CONFIG_MAP) == ""


def test_only_small_scripts(policy: Callable[[str], None], kubectl: Kubectl) -> None:
    policy("workflowruns-small-scripts")
    until(lambda: "at most 8192" in create(kubectl, {"script": "x" * 8193}), "a long script is still accepted")
    assert create(kubectl, {"script": "x" * 8192}) == ""
    assert create(kubectl, FROM_CONFIG_MAP) == ""


def test_a_policy_leaves_other_namespaces_alone(
    policy: Callable[[str], None], kubectl: Kubectl, workflowrun_api: ControlPlane
) -> None:
    policy("workflowruns-reviewed-scripts")
    until(lambda: create(kubectl, SMALL) != "", "a script in the object is still accepted")
    (word,) = OBJECTS["ValidatingAdmissionPolicyBinding/workflowruns-reviewed-scripts"]["spec"]["matchResources"][
        "namespaceSelector"
    ]["matchLabels"]
    workflowrun_api.kubectl("label", "namespace", kubectl.namespace, f"{word}-")
    until(lambda: create(kubectl, SMALL) == "", "a namespace without the label is still under the policy")


def test_a_quota_bounds_the_runs_of_a_namespace(kubectl: Kubectl) -> None:
    quota = OBJECTS["ResourceQuota/workflowruns"]
    assert set(quota["spec"]["hard"]) == {COUNT}
    hard = {COUNT: "2"}
    kubectl("apply", "-f", "-", document={**quota, "metadata": {"name": "workflowruns"}, "spec": {"hard": hard}})
    # The controller manager's part, which is not here: without it a quota is not in force yet.
    status = {"status": {"hard": hard, "used": {COUNT: "0"}}}
    kubectl("patch", "resourcequota", "workflowruns", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    assert [create(kubectl, SMALL) for _ in range(2)] == ["", ""]
    assert "exceeded quota: workflowruns" in create(kubectl, SMALL)
