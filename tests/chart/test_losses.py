"""No upgrade deletes runs or histories by the way: a real helm, and an API server of its own that loses its CRD."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from dev import tools
from dev.chart import CHART, CRDS
from dev.control_plane import ControlPlane, ControlPlaneError
from tests.chart.rendering import RenderingFailed, run_helm

pytestmark = pytest.mark.e2e

NAME = "workflowruns.workflow-operator.dev"
RUN = {
    "apiVersion": "workflow-operator.dev/v1alpha1",
    "kind": "WorkflowRun",
    "metadata": {"name": "precious", "namespace": "default"},
    "spec": {"script": "function main() {}"},
}
(PREVIOUS_CHART,) = (Path(__file__).parents[1] / "node" / "previous").glob("*.tgz")
KEPT = "crds.keep=true"
DELETABLE = f"crds.keep=false,crds.acknowledgeDeletion={NAME}"
WITHOUT = "crds.enabled=false"
_NUMBERS = count()


class Release:
    """A release of the chart in a namespace of its own."""

    def __init__(self, helm: Path, cluster: ControlPlane, namespace: str) -> None:
        self._helm = helm
        self._cluster = cluster
        self._where = ("--namespace", namespace, "--kubeconfig", str(cluster.kubeconfig))

    def __call__(self, command: str, values: str = "", *flags: str, chart: Path = CHART) -> None:
        """`helm command` with `values` for --set. Raises RenderingFailed."""
        run_helm(self._helm, command, "wo", str(chart), "--set", values, *flags, *self._where)

    def with_a_run(self, values: str, chart: Path = CHART) -> None:
        """Install it, and create the run."""
        self("install", values, chart=chart)
        self._cluster.kubectl("wait", f"crd/{NAME}", "--for=condition=Established", "--timeout=60s")
        self._cluster.kubectl("apply", "-f", "-", input=json.dumps(RUN))

    def uninstall(self) -> None:
        run_helm(self._helm, "uninstall", "wo", "--ignore-not-found", *self._where)


@pytest.fixture(scope="module")
def cluster(control_plane_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("losses")
    with ControlPlane(control_plane_binary, tools.kubectl(), folder / "control-plane") as control_plane:
        yield control_plane


@pytest.fixture
def release(cluster: ControlPlane, helm: Path) -> Iterator[Release]:
    """The CRD is gone before and after."""
    namespace = f"losses-{next(_NUMBERS)}"
    cluster.kubectl("create", "namespace", namespace)
    release = Release(helm, cluster, namespace)
    yield release
    release.uninstall()
    names = (NAME, "workflowsignals.workflow-operator.dev")
    cluster.kubectl("delete", "crd", *names, "--ignore-not-found", "--timeout=60s")


def _run_is_there(cluster: ControlPlane) -> bool:
    try:
        cluster.kubectl("get", "workflowrun", "precious", "-n", "default")
    except ControlPlaneError:
        return False
    return True


def test_a_crd_that_is_not_kept_is_not_dropped_by_an_upgrade(release: Release, cluster: ControlPlane) -> None:
    release.with_a_run(DELETABLE)
    for values in (WITHOUT, f"{WITHOUT},{KEPT}", f"{WITHOUT},{DELETABLE}", f"{WITHOUT},fullnameOverride=other"):
        for flags in ((), ("--reset-values",), ("--dry-run=server",)):
            with pytest.raises(RenderingFailed, match="this release holds the CRD, not kept") as raised:
                release("upgrade", values, *flags)
            assert "set crds.enabled=true and crds.keep=true, upgrade, and set crds.enabled=false" in str(raised.value)
    assert _run_is_there(cluster)

    # What the sentence says to do.
    release("upgrade", KEPT)
    release("upgrade", WITHOUT)
    assert _run_is_there(cluster)
    release("upgrade", WITHOUT)
    release.uninstall()
    assert _run_is_there(cluster)


@pytest.mark.parametrize("watched", ["", "watchNamespaces={default},", "rbac.create=false,"])
def test_a_crd_of_an_older_chart_is_not_dropped_either(watched: str, release: Release, cluster: ControlPlane) -> None:
    release.with_a_run(f"{watched}crds.keep=false", chart=PREVIOUS_CHART)
    with pytest.raises(RenderingFailed, match="all WorkflowRuns of all namespaces"):
        release("upgrade", f"{watched}{WITHOUT}")
    with pytest.raises(RenderingFailed, match="helm uninstall would delete the CRD"):
        release("upgrade", f"{watched}crds.keep=false")
    release("upgrade", f"{watched}{KEPT}")
    release("upgrade", f"{watched}{WITHOUT}")
    assert _run_is_there(cluster)


def test_an_older_release_that_never_held_the_crd_says_so_once(release: Release, cluster: ControlPlane) -> None:
    cluster.kubectl("apply", "-f", str(CRDS))
    values = f"watchNamespaces={{default}},{WITHOUT}"
    release("install", values, chart=PREVIOUS_CHART)
    with pytest.raises(RenderingFailed, match="an older chart made it") as raised:
        release("upgrade", values)
    [command] = [part for part in str(raised.value).split("kubectl ")[1:] if part.startswith("annotate")]
    cluster.kubectl(*command.split(". ")[0].split())
    release("upgrade", values)
    release("upgrade", values)


def test_a_crd_of_somebody_else_hinders_nobody(release: Release, cluster: ControlPlane) -> None:
    cluster.kubectl("apply", "-f", str(CRDS))
    release("install", WITHOUT)
    release("upgrade", WITHOUT)


def test_a_crd_without_its_annotation_in_the_cluster_is_not_dropped(release: Release, cluster: ControlPlane) -> None:
    release.with_a_run(KEPT)
    cluster.kubectl("annotate", "crd", NAME, "helm.sh/resource-policy-")
    with pytest.raises(RenderingFailed, match="this release holds the CRD, not kept"):
        release("upgrade", WITHOUT)
    assert _run_is_there(cluster)


def test_histories_are_not_left_behind_or_deleted_by_an_upgrade(release: Release, cluster: ControlPlane) -> None:
    values = "nats.bundled.storage.keep=false"
    release("install", values)
    with pytest.raises(RenderingFailed, match=r"set nats\.bundled\.storage\.keep=true, upgrade, and set nats\.url"):
        release("upgrade", f"{values},nats.url=nats://nats.example.com:4222")
    for renamed in ("fullnameOverride=other", "nameOverride=other"):
        with pytest.raises(RenderingFailed, match="the histories are in the volumes of wo-workflow-operator-nats"):
            release("upgrade", f"{values},{renamed}")
    release("upgrade", "nats.bundled.storage.keep=true")
    release("upgrade", "nats.url=nats://nats.example.com:4222")


def test_the_loss_of_all_runs_has_to_be_named(release: Release) -> None:
    for values in ("crds.keep=false", "crds.keep=false,crds.acknowledgeDeletion="):
        with pytest.raises(RenderingFailed, match=f"crds.acknowledgeDeletion={NAME}"):
            release("install", values)
    with pytest.raises(RenderingFailed, match="value must be one of"):
        release("install", "crds.keep=false,crds.acknowledgeDeletion=yes")
