"""Nobody names somebody else as the sender of an event: the chart's policy, on a real API server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.conftest import Render
from tests.fixtures.workflowruns import Kubectl

pytestmark = pytest.mark.e2e

ALICE = ("--as=alice", "--as-group=system:masters")


def signal(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "workflow-operator.dev/v1alpha1",
        "kind": "WorkflowSignal",
        "metadata": {"generateName": "sent-"},
        "spec": {"runRef": {"name": "order"}, "type": "approve", **spec},
    }


@pytest.fixture
def policed(render: Render, kubectl: Kubectl) -> Iterator[Kubectl]:
    policies = [each for each in render({}) if each["kind"].startswith("ValidatingAdmissionPolicy")]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": policies})
    kubectl.control_plane.kubectl("apply", "-f", "-", input=text)
    yield kubectl
    kubectl.control_plane.kubectl("delete", "-f", "-", input=text)


def test_the_sender_is_who_creates_it_or_nobody(policed: Kubectl) -> None:
    def refused(**spec: Any) -> str:
        return policed.refusal("create", "-f", "-", *ALICE, document=signal(**spec))

    until = time.monotonic() + 60
    while not (said := refused(sender="bob")):
        # The API server reads its policies a moment after they were made.
        assert time.monotonic() < until, "the policy is not in force"
    assert "spec.sender: expected alice, who creates this object, or none; got bob" in said
    assert refused(sender="alice") == ""
    assert refused() == ""
