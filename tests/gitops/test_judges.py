"""What Flux's own kstatus and Argo CD's own Lua say of every state that a run can be in."""

from __future__ import annotations

import pytest
import yaml

from dev.gitops_health import GitOpsHealth
from tests.e2e.scripts import QUICK, sleeper
from tests.e2e.world import World
from tests.fixtures.workflowruns import Kubectl, manifest
from tests.gitops.states import ARGOCD, FROM_CONFIG_MAP, JsonObject, states

pytestmark = pytest.mark.integration

KSTATUS = {
    # Why the CRD gives every run a status from its creation on.
    "no-status": "Current",
    "unseen": "InProgress",
    "starting": "InProgress",
    "waiting-for-config-map": "InProgress",
    "invalid-script": "Failed",
    "nats-unavailable": "InProgress",
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


def test_a_run_that_no_operator_has_seen_is_in_progress(gitops_health: GitOpsHealth, kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", document=manifest("run", {"script": QUICK}))
    assert judged(gitops_health, [kubectl.get("run")]) == [("InProgress", "Progressing")]


def test_the_runs_of_an_installation(gitops_health: GitOpsHealth, world: World) -> None:
    world.apply(
        ("complete", {"script": QUICK}),
        ("failed", {"script": "function main() { throw new Error('no') }"}),
        ("asleep", {"script": sleeper(600)}),
        ("waiting", FROM_CONFIG_MAP),
    )
    world.ended(["complete", "failed"])
    world.until(lambda: world.run("asleep")["status"]["phase"] == "Running", "a status is written")
    world.until(lambda: world.run("waiting")["status"]["observedGeneration"] == 1, "a status is written")
    runs = world.runs()
    assert dict(zip(runs, judged(gitops_health, list(runs.values())), strict=True)) == {
        "complete": ("Current", "Healthy"),
        "failed": ("Failed", "Degraded"),
        "asleep": ("InProgress", "Progressing"),
        "waiting": ("InProgress", "Progressing"),
    }


def judged(health: GitOpsHealth, runs: list[JsonObject]) -> list[tuple[str, str]]:
    """What kstatus and Argo CD's health check say of each run."""
    verdicts = zip(health.kstatus(runs), health.argocd(ARGOCD / "health.lua", runs), strict=True)
    return [(kstatus.status, argocd.status) for kstatus, argocd in verdicts]
