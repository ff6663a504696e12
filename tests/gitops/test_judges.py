"""What Flux's own kstatus and Argo CD's own Lua say of every state that a run can be in."""

from __future__ import annotations

import pytest
import yaml

from dev.gitops_health import GitOpsHealth
from tests.gitops.states import ARGOCD, states

pytestmark = pytest.mark.integration

KSTATUS = {
    # Why the CRD gives every run a status from its creation on.
    "no-status": "Current",
    "unseen": "InProgress",
    "starting": "InProgress",
    "waiting-for-config-map": "InProgress",
    "invalid-script": "Failed",
    "queued": "InProgress",
    "executing": "InProgress",
    "sleeping": "InProgress",
    "history-lost": "Failed",
    "cancelling": "InProgress",
    "cancelled": "Current",
    "complete": "Current",
    "failed": "Failed",
    "executing-deleted": "Terminating",
    "complete-deleted": "Terminating",
}


def test_kstatus(gitops_health: GitOpsHealth) -> None:
    found = gitops_health.kstatus(states().values())
    assert dict(zip(states(), [verdict.status for verdict in found], strict=True)) == KSTATUS


def test_the_health_check_in_the_lua_of_argo_cd(gitops_health: GitOpsHealth) -> None:
    cases = yaml.safe_load((ARGOCD / "health_test.yaml").read_text())["tests"]
    objects = [yaml.safe_load((ARGOCD / case["inputPath"]).read_text()) for case in cases]
    found = gitops_health.argocd(ARGOCD / "health.lua", objects)
    assert [verdict._asdict() for verdict in found] == [case["healthStatus"] for case in cases]
