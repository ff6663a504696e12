"""The example of docs/gitops.md for kustomize, built by kubectl."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import tools
from tests.gitops.states import PROJECT

pytestmark = pytest.mark.integration

PAGE = (PROJECT / "docs" / "gitops.md").read_text()
FILES = dict(re.findall(r"^```yaml\n# ([\w.]+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
CONFIGURATION = PROJECT / "gitops" / "kustomize" / "workflowruns.yaml"


def kustomize(folder: Path, script: str, **files: str) -> dict[str, dict[str, Any]]:
    """The objects by kind of the example, with other texts for some of its files."""
    for name, text in {**FILES, "import.js": script, **files}.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        [tools.kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=True, timeout=60
    )
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}


def named(run: dict[str, Any]) -> str:
    return str(run["spec"]["scriptFrom"]["configMapKeyRef"]["name"])


def test_the_page_shows_the_file_that_is_there() -> None:
    assert yaml.safe_load(FILES["workflowruns.yaml"]) == yaml.safe_load(CONFIGURATION.read_text())


def test_the_run_names_the_config_map_with_its_hash(tmp_path: Path) -> None:
    found = kustomize(tmp_path, "function main() {}")
    name = found["ConfigMap"]["metadata"]["name"]
    assert re.fullmatch(r"import-script-v3-[a-z0-9]{10}", name)
    assert named(found["WorkflowRun"]) == name
    assert found["WorkflowRun"]["metadata"]["name"] == "import-v3"


def test_without_the_configuration_it_would_not(tmp_path: Path) -> None:
    text = FILES["kustomization.yaml"].replace("configurations: [workflowruns.yaml]\n", "")
    found = kustomize(tmp_path, "function main() {}", **{"kustomization.yaml": text})
    assert named(found["WorkflowRun"]) == "import-script" != found["ConfigMap"]["metadata"]["name"]


def test_a_changed_script_changes_what_the_run_names(tmp_path: Path) -> None:
    first, second = (kustomize(tmp_path, text)["WorkflowRun"] for text in ("function main() {}", "function main() {;}"))
    # The API server refuses this change of a run, so it needs another name too.
    assert named(first) != named(second)
    assert first["metadata"] == second["metadata"]
