"""What docs/gitops.md shows can be applied."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import tools
from tests.e2e.world import World
from tests.fixtures.workflowruns import Kubectl
from tests.gitops.states import PROJECT

PAGE = (PROJECT / "docs" / "gitops.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TEMPLATES = [block for block in BLOCKS if "{{" in block]
PLAIN = [each for block in BLOCKS if block not in TEMPLATES for each in yaml.safe_load_all(block)]
OURS = [each for each in PLAIN if not each.get("apiVersion", "kustomize.").startswith("kustomize.")]
FLUX = [each for each in PLAIN if each.get("apiVersion", "").endswith("fluxcd.io/v1")]


@pytest.mark.parametrize("manifest", OURS, ids=lambda each: each["kind"])
def test_manifests_are_accepted(manifest: dict[str, Any], kubectl: Kubectl) -> None:
    kubectl("create", "--dry-run=server", "-f", "-", document=manifest)


def test_manifests_of_other_tools_are_few() -> None:
    """No API server here knows them, so they are only read."""
    assert [each["kind"] for each in FLUX] == ["Kustomization"]


@pytest.mark.integration
@pytest.mark.parametrize(("secret", "same"), [("nats-logins", True), ("", False)])
def test_the_chart_renders_the_same_each_time_with_a_secret_of_ones_own(secret: str, same: bool) -> None:
    chart = str(PROJECT / "charts" / "workflow-operator")
    command = [str(tools.helm()), "template", "app", chart, "--set", f"nats.bundled.auth.existingSecret={secret}"]
    first, second = (subprocess.run(command, capture_output=True, check=True).stdout for _ in range(2))
    assert (first == second) == same


def test_helm_waits_for_the_run_of_each_revision(world: World, tmp_path: Path) -> None:
    (template,) = TEMPLATES
    helm = Helm(world, tmp_path, template)
    helm("install", "app", "--wait")
    assert phases(world) == {"app-migrate-1": "Complete"}
    helm("upgrade", "app", "--wait")
    assert phases(world) == {"app-migrate-2": "Complete"}

    helm.template.write_text(template.replace('return "migrated"', 'throw new Error("no such table")'))
    with pytest.raises(subprocess.CalledProcessError) as failed:
        helm("upgrade", "app", "--wait")
    assert "no such table" in failed.value.stderr
    assert phases(world)["app-migrate-3"] == "Failed"


class Helm:
    """helm with a chart that has one template."""

    def __init__(self, world: World, folder: Path, template: str) -> None:
        self._namespace = world.namespace
        self._chart = folder / "app"
        self.template = self._chart / "templates" / "run.yaml"
        self.template.parent.mkdir(parents=True)
        self.template.write_text(template)
        (self._chart / "Chart.yaml").write_text("apiVersion: v2\nname: app\nversion: 1.0.0\n")
        self._env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "KUBECONFIG": str(world.kubectl.control_plane.kubeconfig),
        }

    def __call__(self, command: str, release: str, *flags: str) -> None:
        """Raises CalledProcessError."""
        program = [str(tools.helm()), command, release, str(self._chart), "-n", self._namespace, *flags]
        subprocess.run(program, env=self._env, capture_output=True, text=True, check=True)


def phases(world: World) -> dict[str, str]:
    return {name: run["status"]["phase"] for name, run in world.runs().items()}
