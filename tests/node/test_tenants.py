"""An installation by somebody who has one namespace and no rights beyond it, and one that NATS does not let in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.node.choose import Cluster
from dev.node.node import NodeError
from tests.e2e.scripts import QUICK, TICKING
from tests.e2e.world import FINAL, assert_sound, drivers
from tests.fixtures.workflowruns import CRDS
from tests.node.release import TIMEOUT, Release, condition, numbered, objects_of

TENANT = "tenant"
STRANGER = "stranger"
ADMIN = f"system:serviceaccount:{TENANT}:installer"

# What the role `admin` does not have, and the installer must hold to hand it on: rights to the runs.
RIGHTS = f"""
apiVersion: v1
kind: ServiceAccount
metadata: {{name: installer, namespace: {TENANT}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: installer, namespace: {TENANT}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}}
subjects: [{{kind: ServiceAccount, name: installer, namespace: {TENANT}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: runs, namespace: {TENANT}}}
rules:
- {{apiGroups: [workflow-operator.dev], resources: ["*"], verbs: ["*"]}}
- {{apiGroups: [events.k8s.io], resources: [events], verbs: [create]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: runs, namespace: {TENANT}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: runs}}
subjects: [{{kind: ServiceAccount, name: installer, namespace: {TENANT}}}]
"""


@pytest.fixture(scope="module")
def tenant(node: Cluster, images: Path, chart: Path) -> Iterator[Release]:
    """The chart in one namespace, installed with that namespace's rights alone, and with separate executors."""
    node.kubectl("apply", f"--filename={CRDS}")
    release = Release(node, chart, TENANT, TENANT)
    node.kubectl("apply", "--filename=-", input=RIGHTS)
    release.helm(
        *("install", release.name, str(chart), f"--kube-as-user={ADMIN}", "--wait", f"--timeout={TIMEOUT}"),
        *("--set=crds.enabled=false", f"--set=watchNamespaces={{{TENANT}}}"),
        *("--set=executor.enabled=true", "--set=executor.replicas=1", "--set=operator.replicas=1"),
    )
    yield release
    release.uninstall(f"--kube-as-user={ADMIN}")


def test_a_namespace_only_tenant_installs_the_chart(node: Cluster, tenant: Release) -> None:
    with pytest.raises(NodeError, match="forbidden"):
        node.kubectl("get", "workflowruns", "--all-namespaces", f"--as={ADMIN}")
    cluster_wide = node.kubectl("api-resources", "--verbs=list", "--namespaced=false", "--output=name").split()
    found = objects_of(node, [kind for kind in cluster_wide if kind != "componentstatuses"], tenant.name)
    assert [name for name in found if not name.startswith("customresourcedefinition")] == []


def test_a_run_of_the_tenant_completes(tenant: Release) -> None:
    names = numbered(2, {"script": QUICK}, "own")
    tenant.apply(names)
    assert {run["status"]["phase"] for run in tenant.ended(names).values()} == {"Complete"}


def test_helm_test_passes_with_the_rights_of_the_tenant(tenant: Release) -> None:
    tenant.helm("test", tenant.name, f"--kube-as-user={ADMIN}", "--timeout=180s")


def test_runs_of_others_are_left_alone(node: Cluster, tenant: Release) -> None:
    other = Release(node, tenant.chart, "elsewhere", "elsewhere")
    other.apply(numbered(1, {"script": QUICK}, "foreign"))
    own = numbered(1, {"script": QUICK}, "own")
    tenant.apply(own)
    tenant.ended(own)
    (foreign,) = other.runs().values()
    assert foreign["status"].get("phase") not in FINAL


def test_separate_executors_execute(tenant: Release) -> None:
    (executor,) = tenant.wait_until_ready("executor", 1)
    names = numbered(24, {"script": TICKING}, "shared")
    tenant.apply(names)
    runs = tenant.ended(names)
    histories = tenant.histories(runs.values()).values()
    for history in histories:
        assert_sound(history)
    driven = {name for history in histories for name in drivers(history)}
    assert [name for name in driven if name.startswith(executor[:40])], f"only {driven} executed"


@pytest.fixture(scope="module")
def stranger(node: Cluster, tenant: Release) -> Release:
    """A release that logs in to the tenant's NATS with passwords that are not right."""
    release = Release(node, tenant.chart, STRANGER, STRANGER)
    wrong = [f"--from-literal={role}.password=wrong" for role in ("operator", "projector", "executor", "reader")]
    release.kubectl("create", "secret", "generic", "logins", *wrong)
    release.helm(
        *(
            "install",
            release.name,
            str(release.chart),
            "--set=crds.enabled=false",
            f"--set=watchNamespaces={{{STRANGER}}}",
        ),
        f"--set=nats.url=nats://{tenant.name}-nats.{TENANT}.svc:4222",
        *("--set=nats.auth.method=password", "--set=nats.auth.existingSecret=logins"),
    )
    return release


def test_pods_that_nats_refuses_do_not_get_ready_and_say_why(stranger: Release) -> None:
    for component in ("operator", "projector"):
        stranger.until(
            lambda component=component: f"the server does not accept user '{component}'" in stranger.logs(component),
            f"the log of the {component} tells why",
        )
        assert stranger.ready(component) == []
        assert len(stranger.pods(component)) == 2


def test_a_run_that_waits_for_nats_says_so(stranger: Release) -> None:
    names = numbered(1, {"script": QUICK}, "waiting")
    stranger.apply(names)

    def told() -> str | None:
        (run,) = stranger.runs().values()
        text = condition(run, "Reconciling") or ""
        return text if "NatsRefused" in text else None

    told_text = stranger.until(told, "a condition of the run names NATS", within=120)
    assert told_text.startswith("True NatsRefused: the run waits for the operator's connection to NATS")
    assert "the server does not accept user 'operator'" in told_text


def test_the_right_login_mends_it(node: Cluster, tenant: Release, stranger: Release) -> None:
    """Without a restart: the mounted Secret changes."""
    right = json.loads(tenant.kubectl("get", "secret", f"{tenant.name}-nats-auth", "--output=json"))["data"]
    patch = {"data": {key: right[key] for key in ("operator.password", "projector.password")}}
    stranger.kubectl("patch", "secret", "logins", f"--patch={json.dumps(patch)}")
    stranger.wait_until_ready("operator", 2)
    assert {run["status"]["phase"] for run in stranger.ended(stranger.runs()).values()} == {"Complete"}
    stranger.uninstall()
