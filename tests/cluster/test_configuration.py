"""Where this process runs."""

from pathlib import Path

import pytest

from workflow_operator.cluster import own_namespace

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("environment", "namespace"),
    [
        pytest.param(POD, "operators", id="a pod"),
        pytest.param(POD | {"KUBECONFIG": ""}, "operators", id="a pod, with an empty variable"),
        pytest.param(POD | {"KUBECONFIG": "/config"}, None, id="a pod that uses another account"),
        pytest.param({}, None, id="no pod"),
    ],
)
def test_own_namespace(environment: dict[str, str], namespace: str | None, tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    file.write_text("operators\n")
    assert own_namespace(environment, file) == namespace


def test_a_pod_without_a_mounted_account(tmp_path: Path) -> None:
    assert own_namespace(POD, tmp_path / "namespace") is None
