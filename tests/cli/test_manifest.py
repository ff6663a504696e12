"""What `run FILE` accepts, and what it says of everything else."""

from pathlib import Path

import pytest

from workflow_operator.app.local import LocalRun
from workflow_operator.cli.manifest import load
from workflow_operator.history.errors import InvalidInput

HEAD = "apiVersion: workflow-operator.dev/v1alpha1\nkind: WorkflowRun\n"
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: scripts}\ndata: {main.js: 'function main() {}'}\n"
FROM = "spec: {scriptFrom: {configMapKeyRef: {name: scripts, key: main.js}}}\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_script_file_runs_under_its_own_name(tmp_path: Path) -> None:
    found = load(write(tmp_path, "count.js", "function main() {}"))
    assert found == LocalRun("default", "count", "function main() {}", None, None)


def test_a_manifest_runs_as_it_says(tmp_path: Path) -> None:
    text = HEAD + "metadata: {name: n, namespace: team}\nspec: {script: 'x', entrypoint: go, input: {a: [1, null]}}\n"
    assert load(write(tmp_path, "run.yaml", text)) == LocalRun("team", "n", "x", "go", {"a": [1, None]})


def test_a_generated_name_loses_its_dash(tmp_path: Path) -> None:
    text = HEAD + "metadata: {generateName: nightly-}\nspec: {script: x}\n"
    assert load(write(tmp_path, "run.yaml", text)).name == "nightly"


@pytest.mark.parametrize("order", ["before", "behind"])
def test_a_config_map_in_the_same_file_gives_the_script(tmp_path: Path, order: str) -> None:
    run = HEAD + "metadata: {name: n}\n" + FROM
    documents = [CONFIG_MAP, run] if order == "before" else [run, CONFIG_MAP]
    assert load(write(tmp_path, "run.yaml", "---\n".join(documents))).script == "function main() {}"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("run.yaml", "a: [", "not YAML"),
        ("run.yaml", "", "expected exactly one WorkflowRun"),
        ("run.yaml", "just text", "found 0 WorkflowRuns among 1 documents"),
        ("run.yaml", CONFIG_MAP, "found 0 WorkflowRuns among 1 documents"),
        ("run.yaml", f"{HEAD}spec: {{script: x}}\n---\n{HEAD}spec: {{script: y}}\n", "found 2 WorkflowRuns among 2"),
        ("run.yaml", HEAD.replace("v1alpha1", "v9") + "spec: {script: x}\n", "of workflow-operator.dev/v1alpha1"),
        ("run.yaml", HEAD + "spec: {}\n", "exactly one of script and scriptFrom"),
        ("run.yaml", HEAD + "spec: {script: 5}\n", "script"),
        ("run.yaml", HEAD + "metadata: {name: n}\n" + FROM, "names key 'main.js' of ConfigMap default/scripts"),
        (
            "run.yaml",
            HEAD + "metadata: {name: n, namespace: other}\n" + FROM + "---\n" + CONFIG_MAP,
            "ConfigMap other/scripts, which is not in this file",
        ),
        ("run.yaml", HEAD + "spec: {script: x, input: " + "1" * 5000 + "}\n", "not YAML"),
        ("run.yaml", HEAD + "spec: {script: x, input: 2020-13-45}\n", "not YAML"),
        ("run.yaml", HEAD + "spec: {script: x, input: " + "[" * 500 + "]" * 500 + "}\n", "nested too deeply"),
        ("run.yaml", HEAD + "metadata: [1]\nspec: {script: x}\n", "metadata: expected a mapping, got [1]"),
        ("run.yaml", HEAD + "metadata: n\nspec: {script: x}\n", "metadata: expected a mapping, got 'n'"),
        ("run.yaml", HEAD + FROM + "---\nkind: ConfigMap\nmetadata: [1]\n", "metadata: expected a mapping, got [1]"),
        (
            "run.yaml",
            HEAD + FROM + "---\nkind: ConfigMap\nmetadata: {name: scripts}\ndata: [1]\n",
            "data: expected a mapping, got [1]",
        ),
        ("flow.ts", "const x: number = 1", "TypeScript is not available in this version"),
    ],
)
def test_anything_else_is_refused_with_the_reason(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(InvalidInput) as refused:
        load(path)
    assert str(path) in str(refused.value)
    assert words in str(refused.value)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "run.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.yaml", tmp_path, binary):
        with pytest.raises(InvalidInput, match="cannot be read"):
            load(path)
