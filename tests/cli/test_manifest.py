"""What `run FILE` accepts, and what it says of everything else."""

import codecs
from pathlib import Path

import pytest

from workflow_operator.app.local import LocalRun
from workflow_operator.cli.manifest import load
from workflow_operator.history.errors import InvalidInput

HEAD = "apiVersion: workflow-operator.dev/v1alpha1\nkind: WorkflowRun\n"
NAMED = HEAD + "metadata: {name: hello}\n"
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: scripts}\ndata: {main.js: 'function main() {}'}\n"
FROM = "spec: {scriptFrom: {configMapKeyRef: {name: scripts, key: main.js}}}\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_script_file_runs_under_its_own_name(tmp_path: Path) -> None:
    path = write(tmp_path, "count.js", "function main() {}")
    found = load(path)
    assert found.run == LocalRun("default", "count", "function main() {}", None, None)
    assert (found.file, found.first_line) == (path, 1)


def test_a_script_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "count.js"
    path.write_bytes(codecs.BOM_UTF8 + b"function main() {}")
    assert load(path).run.script == "function main() {}"


def test_a_manifest_runs_as_it_says(tmp_path: Path) -> None:
    text = (
        HEAD + "metadata: {name: hello, namespace: team}\nspec: {script: 'x', entrypoint: go, input: {a: [1, null]}}\n"
    )
    assert load(write(tmp_path, "run.yaml", text)).run == LocalRun("team", "hello", "x", "go", {"a": [1, None]})


def test_a_generated_name_loses_its_dash(tmp_path: Path) -> None:
    text = HEAD + "metadata: {generateName: nightly-}\nspec: {script: x}\n"
    assert load(write(tmp_path, "run.yaml", text)).run.name == "nightly"


def test_an_empty_namespace_is_the_default_one(tmp_path: Path) -> None:
    text = HEAD + "metadata: {name: hello, namespace: ''}\nspec: {script: x}\n"
    assert load(write(tmp_path, "run.yaml", text)).run.namespace == "default"


@pytest.mark.parametrize("order", ["before", "behind"])
def test_a_config_map_in_the_same_file_gives_the_script(tmp_path: Path, order: str) -> None:
    run = NAMED + FROM
    documents = [CONFIG_MAP, run] if order == "before" else [run, CONFIG_MAP]
    assert load(write(tmp_path, "run.yaml", "---\n".join(documents))).run.script == "function main() {}"


def test_a_run_may_stand_in_a_list(tmp_path: Path) -> None:
    items = "".join("- " + text.strip().replace("\n", "\n  ") + "\n" for text in (CONFIG_MAP, NAMED + FROM))
    text = f"apiVersion: v1\nkind: List\nitems:\n{items}"
    assert load(write(tmp_path, "run.yaml", text)).run.script == "function main() {}"


@pytest.mark.parametrize(
    ("text", "first_line"),
    [
        (NAMED + "spec:\n  script: |\n    one\n    two\n", 6),
        (NAMED + "spec:\n  # why\n  script: |2- # how\n\n    one\n", 7),
        (NAMED + "spec: {script: one}\n", 4),
        ("# c\n---\n# d\n---\n" + NAMED + "spec:\n  script: |\n    one\n", 10),
        (NAMED + "spec:\n  script: >\n    one\n    two\n", None),
        (NAMED + 'spec:\n  script: "one\n    two\\n"\n', None),
        (NAMED + FROM + "---\n" + CONFIG_MAP.replace("{main.js: 'function main() {}'}", "\n  main.js: |\n    one"), 11),
    ],
    ids=["literal", "literal with blank line", "in a line", "in a later document", "folded", "quoted", "ConfigMap"],
)
def test_the_line_of_the_file_at_which_a_script_begins(tmp_path: Path, text: str, first_line: int | None) -> None:
    assert load(write(tmp_path, "run.yaml", text)).first_line == first_line


def test_a_key_that_is_given_twice_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "run.yaml", NAMED + "spec:\n  script: x\n  input: {a: 1}\n  input: {a: 2}\n")
    found = load(path)
    assert found.run.input == {"a": 2}
    assert found.notes == (
        f"{path}: line 7: the key 'input' is given twice; the last one counts, as it does for kubectl",
    )


def binary(key: str) -> str:
    return CONFIG_MAP.replace("data: {main.js: 'function main() {}'}", f"binaryData: {{{key}: //5m}}")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("run.yaml", "a: [", "line 2, column 1: not YAML"),
        ("run.yaml", "", "expected exactly one WorkflowRun"),
        ("run.yaml", "just text", "found 0 WorkflowRuns among 1 documents"),
        ("run.yaml", CONFIG_MAP, "found 0 WorkflowRuns among 1 documents: ConfigMap of v1"),
        (
            "run.yaml",
            f"{NAMED}spec: {{script: x}}\n".replace("v1alpha1", "v1").replace("kind: WorkflowRun", "kind: Workflowrun"),
            "among 1 documents: Workflowrun of workflow-operator.dev/v1",
        ),
        (
            "run.yaml",
            f"{NAMED}spec: {{script: x}}\n".replace("v1alpha1", "v1"),
            "WorkflowRun of workflow-operator.dev/v1",
        ),
        ("run.yaml", f"{NAMED}spec: {{script: x}}\n---\n{NAMED}spec: {{script: y}}\n", "found 2 WorkflowRuns among 2"),
        ("run.yaml", NAMED.replace("v1alpha1", "v9") + "spec: {script: x}\n", "of workflow-operator.dev/v1alpha1"),
        ("run.yaml", NAMED + FROM, "names key 'main.js' of ConfigMap default/scripts"),
        (
            "run.yaml",
            HEAD + "metadata: {name: hello, namespace: other}\n" + FROM + "---\n" + CONFIG_MAP,
            "ConfigMap other/scripts, which is not in this file",
        ),
        ("run.yaml", NAMED + "spec: {script: x, input: " + "[" * 500 + "]" * 500 + "}\n", "nested deeper than 200"),
        ("run.json", '{"a":' * 500 + "1" + "}" * 500, "nested deeper than 200"),
        ("run.json", '{"a":' * 100_000, "nested deeper than 200"),
        ("run.yaml", "[" * 100_000, "nested deeper than 200"),
        ("run.yaml", "--- |\n" + NAMED, "line 1: behind --- only a comment may stand, found '|'"),
        ("run.yaml", NAMED + "spec: {script: *x}\n", "line 4: *x refers to an anchor that is not there"),
        ("run.yaml", NAMED + "spec: {script: x, input: .nan}\n", "line 4: .nan is no number in JSON; put it in quotes"),
        ("run.yaml", NAMED + "spec: {script: x, input: {~: 1}}\n", "line 4: null cannot be a key; put it in quotes"),
        ("run.yaml", NAMED + "spec: {script: x, input: !!int a}\n", "line 4: 'a' is tagged !!int, and is none"),
        ("run.yaml", NAMED + FROM + "---\nkind: ConfigMap\nmetadata: [1]\n", "which is not in this file"),
        (
            "run.yaml",
            NAMED + FROM + "---\nkind: ConfigMap\nmetadata: {name: scripts}\ndata: [1]\n",
            "data: expected a mapping, got [1]",
        ),
        (
            "run.yaml",
            NAMED + FROM + "---\nkind: ConfigMap\nmetadata: {name: scripts}\ndata: {main.js: 5}\n",
            "key 'main.js': expected text, got 5; put it in quotes",
        ),
        ("run.yaml", NAMED + FROM + "---\n" + CONFIG_MAP.replace("main.js", "b.js"), "has no key 'main.js' in data"),
        (
            "run.yaml",
            NAMED + FROM + "---\n" + binary("main.js"),
            "key 'main.js' is in binaryData, because it is no UTF-8 text: save the file as UTF-8",
        ),
        (
            "run.yaml",
            NAMED + FROM + "---\n" + binary("main.js").replace("//5m", "Ly8gw6k="),
            "key 'main.js' is in binaryData, though it is UTF-8 text: put it into data, as it is",
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
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(InvalidInput, match="cannot be read"):
            load(path)


@pytest.mark.parametrize("name", ["run.yaml", "run.js"])
def test_text_that_is_not_utf_8_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes((NAMED + "spec: {script: caf\xe9}\n").encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"line 4: not UTF-8 text|can't decode byte 0xe9"):
        load(path)
