"""An operator with rights in two namespaces and none in the cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.control_plane import ControlPlane
from dev.stack import PROJECT, RBAC_FILE, Stack, blocking
from tests.e2e.scripts import QUICK, sleeper
from tests.e2e.world import World, assert_sound, ends_with, listed
from tests.fixtures.workflowruns import Kubectl
from workflow_operator.history import EventType

pytestmark = pytest.mark.e2e

ACCOUNT = "tenant"


class Tenant(Stack):
    """Everything of a tenant's lies in the namespaces that are its own, the first of which its operators run in."""

    def __init__(self, control_plane: ControlPlane, directory: Path, namespaces: tuple[str, ...]) -> None:
        super().__init__(control_plane, directory)
        self.namespaces = namespaces

    def install(self) -> None:
        self.control_plane.kubectl("apply", "-f", "-", input=json.dumps(listed(roles(self.namespaces))))
        self.control_plane.service_account_kubeconfig(self.namespaces[0], ACCOUNT, self.kubeconfig)

    def _env(self) -> dict[str, str]:
        namespaces = ",".join(self.namespaces)
        return super()._env() | {
            "WORKFLOW_OPERATOR_WATCH_NAMESPACES": namespaces,
            "WORKFLOW_OPERATOR_EVENTS": "all",
        }


def roles(namespaces: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rules of the cluster-wide role, in these namespaces only; and the right to know the first one's uid."""
    documents = yaml.safe_load_all((PROJECT / RBAC_FILE).read_text())
    [rules] = [each["rules"] for each in documents if each["kind"] == "ClusterRole"]
    common = [rule for rule in rules if "namespaces" not in rule["resources"]]
    home = namespaces[0]
    identity = {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": [home], "verbs": ["get"]}
    objects = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": home}}]
    for namespace in namespaces:
        objects += role(namespace, "tenant", common, home)
    return objects + role(home, "tenant-identity", [identity], home)


def role(namespace: str, name: str, rules: list[dict[str, Any]], home: str) -> list[dict[str, Any]]:
    group = "rbac.authorization.k8s.io"
    head = {"apiVersion": f"{group}/v1", "metadata": {"name": name, "namespace": namespace}}
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": home}
    return [
        {**head, "kind": "Role", "rules": rules},
        {
            **head,
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [subject],
        },
    ]


@pytest.fixture
def others(workflowrun_api: ControlPlane, kubectl: Kubectl) -> tuple[Kubectl, Kubectl]:
    """Two more namespaces."""
    made = tuple(Kubectl(workflowrun_api, f"{kubectl.namespace}-{suffix}") for suffix in ("own", "foreign"))
    for each in made:
        workflowrun_api.kubectl("create", "namespace", each.namespace)
    return made[0], made[1]


@pytest.fixture
def world(
    workflowrun_api: ControlPlane, kubectl: Kubectl, others: tuple[Kubectl, Kubectl], tmp_path: Path
) -> Iterator[World]:
    with Tenant(workflowrun_api, tmp_path / "stack", (kubectl.namespace, others[0].namespace)) as stack:
        yield World(stack, kubectl)


def test_a_tenant_without_rights_in_the_cluster(world: World, others: tuple[Kubectl, Kubectl]) -> None:
    own, foreign = (World(world.stack, each) for each in others)
    source = {"configMapKeyRef": {"name": "scripts", "key": "flow.js"}}
    for each in (world, own, foreign):
        each.kubectl("create", "configmap", "scripts", f"--from-literal=flow.js={QUICK}")
        each.apply(("quick", {"script": QUICK}), ("from-config-map", {"scriptFrom": source}))
    for each in (world, own):
        runs = each.ended(["quick", "from-config-map"])
        assert {run["status"]["phase"] for run in runs.values()} == {"Complete"}
        each.until(lambda kubectl=each.kubectl: "Complete" in kubectl("get", "events"), "Events")  # type: ignore[misc]

    own.apply(("deleted-unseen", {"script": sleeper(600)}))
    key = own.key("deleted-unseen")
    own.history_until(key, ends_with(EventType.WAITING), "parked")
    for operator in world.stack.operators:
        operator.kill()
    own.kubectl("delete", "workflowrun", "deleted-unseen")
    world.stack.add_operator()
    history = own.history_until(key, lambda events: events[-1].terminal, "the orphan ends")
    assert_sound(history)
    assert history[-1].type is EventType.CANCELLED

    unseen = {"observedGeneration": -1, "phase": "Pending"}
    assert [run["status"] for run in foreign.runs().values()] == [unseen, unseen]
    assert foreign.kubectl("get", "events", "-o", "name") == ""
    records = [record for operator in world.stack.operators for record in operator.log_records()]
    assert [record for record in records if "forbidden" in str(record).lower()] == []
    # kopf tells of an API server that has only just begun to serve the resource.
    ours = [record for record in records if record["logger"].startswith("workflow_operator")]
    assert [record for record in ours if record["level"] != "INFO"] == []


def test_two_tenants_that_share_a_nats_account(
    world: World, workflowrun_api: ControlPlane, others: tuple[Kubectl, Kubectl], tmp_path: Path
) -> None:
    second = Tenant(workflowrun_api, tmp_path / "second", (others[1].namespace,))
    second.nats = world.stack.nats
    second.directory.mkdir()
    second.install()
    try:
        second.add_operator()
        neighbours = World(world.stack, others[1])
        names = [f"run-{number}" for number in range(10)]
        for each in (world, neighbours):
            each.apply(*((name, {"script": QUICK}) for name in names))
        for each in (world, neighbours):
            assert {run["status"]["phase"] for run in each.ended(names).values()} == {"Complete"}
    finally:
        for operator in second.operators:
            operator.stop()
        blocking(second.nats.stop())
