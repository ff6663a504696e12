"""A real API server takes what the chart renders, to the last field, and calls it restricted."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dev.chart import CHART
from dev.control_plane import ControlPlane, ControlPlaneError
from tests.chart import third_party
from tests.chart.rendering import DUMPER, Object, RenderingFailed, find, pods, run_helm
from tests.chart.scenarios import NAMESPACE, RELEASE, SCENARIOS

pytestmark = pytest.mark.e2e

TEAMS = ("team-a", "team-b")
LEVEL = "pod-security.kubernetes.io/{}=restricted"
STRICTLY = ("--dry-run=server", "--validate=strict", "--warnings-as-errors", "--filename=-")

# A pod that names a class which is not there is refused.
RUNTIME_CLASS = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "gvisor"},
    "handler": "runsc",
}

Apply = Callable[[list[Object]], str]


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> ControlPlane:
    """With the namespaces of the scenarios, and the kinds of others."""
    for name in (NAMESPACE, *TEAMS):
        control_plane.kubectl("create", "namespace", name)
        control_plane.kubectl("label", "namespace", name, LEVEL.format("enforce"), LEVEL.format("warn"))
    control_plane.kubectl("apply", "--filename=-", input=json.dumps(RUNTIME_CLASS))
    for crds in third_party.ALL:
        for file in third_party.download(crds, tmp_path_factory.mktemp("module")):
            control_plane.kubectl("apply", "--server-side", "--filename", str(file))
    control_plane.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
    return control_plane


@pytest.fixture
def apply(cluster: ControlPlane) -> Apply:
    """Has the API server judge objects, all but storing them. Raises ControlPlaneError for a warning too."""

    def apply(objects: list[Object]) -> str:
        text = yaml.dump_all(objects, Dumper=DUMPER)
        # The CRD may be there already, from another test.
        return cluster.kubectl("apply", "--server-side", "--force-conflicts", *STRICTLY, input=text)

    return apply


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_api_server_takes_every_object(name: str, rendered: dict[str, list[Object]], apply: Apply) -> None:
    objects = [
        {**each, "metadata": {"namespace": NAMESPACE, **each["metadata"]}} if "labels" not in each["metadata"] else each
        for each in rendered[name]
    ]
    assert apply(objects).count("serverside-applied (server dry run)") == len(objects)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_pod_is_let_in_where_restricted_is_enforced(
    name: str, rendered: dict[str, list[Object]], apply: Apply
) -> None:
    made = pods(rendered[name])
    assert len(made) >= 3
    apply(made)


def test_a_pod_that_is_not_restricted_would_be_refused(rendered: dict[str, list[Object]], apply: Apply) -> None:
    pod = copy.deepcopy(pods(rendered["default"])[0])
    del pod["spec"]["securityContext"]
    with pytest.raises(ControlPlaneError, match='violates PodSecurity "restricted'):
        apply([pod])


def test_an_unknown_field_would_be_refused(rendered: dict[str, list[Object]], apply: Apply) -> None:
    monitor = find(rendered["monitoring"], "PodMonitor")
    with pytest.raises(ControlPlaneError, match="portt"):
        apply([{**monitor, "spec": {**monitor["spec"], "podMetricsEndpoints": [{"portt": "http"}]}}])


@pytest.fixture
def tenant(cluster: ControlPlane, tmp_path: Path) -> Path:
    """The kubeconfig of one who may do everything in one namespace, and nothing outside of it."""
    cluster.kubectl("create", "namespace", "tenant")
    cluster.kubectl("create", "serviceaccount", "tenant", "-n", "tenant")
    cluster.kubectl("create", "role", "tenant", "-n", "tenant", "--verb=*", "--resource=*.*")
    who = ("--role=tenant", "--serviceaccount=tenant:tenant")
    cluster.kubectl("create", "rolebinding", "tenant", "-n", "tenant", *who)
    return cluster.service_account_kubeconfig("tenant", "tenant", tmp_path / "kubeconfig")


def test_a_tenant_installs_upgrades_and_removes_without_cluster_rights(
    cluster: ControlPlane, helm: Path, tenant: Path
) -> None:
    where = ("--namespace", "tenant", "--kubeconfig", str(tenant))
    what = (RELEASE, str(CHART), *where, "--values", "-")
    values = json.dumps({"watchNamespaces": ["tenant"], "crds": {"enabled": False}})

    def found(kind: str) -> list[Object]:
        label = f"app.kubernetes.io/instance={RELEASE}"
        items: list[Object] = json.loads(cluster.kubectl("get", kind, "-n", "tenant", "-l", label, "-o", "json"))[
            "items"
        ]
        return items

    with pytest.raises(RenderingFailed, match="cannot get resource"):
        run_helm(helm, "install", *what, values="{}")
    run_helm(helm, "install", *what, values=values)
    [passwords] = [each["data"] for each in found("secrets")]
    templates = {each["metadata"]["name"]: each["spec"]["template"] for each in found("deployments,statefulsets")}
    assert len(templates) == 3

    run_helm(helm, "upgrade", *what, values=values)
    assert [each["data"] for each in found("secrets")] == [passwords]
    assert {
        each["metadata"]["name"]: each["spec"]["template"] for each in found("deployments,statefulsets")
    } == templates

    with pytest.raises(RenderingFailed, match=r"nats\.bundled\.replicas is 3, and there are 1 servers"):
        run_helm(helm, "upgrade", *what, "--set", "nats.bundled.replicas=3", values=values)

    run_helm(helm, "uninstall", RELEASE, *where)
    kinds = (
        "deployments,statefulsets,services,configmaps,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets"
    )
    assert found(kinds) == []
