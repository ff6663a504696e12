"""The generated files are those that the generator makes now, and none of the program's settings is forgotten."""

import importlib.metadata
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from dev.chart import BEGIN, CHART, CRDS, END, crd_template, generated, with_table
from dev.chart_values import NOT_OFFERED, SET_BY_TEMPLATES, Values, tunable
from workflow_operator.app.settings import Settings
from workflow_operator.resources.run import RunSpec
from workflow_operator.resources.signal import SignalSpec

GENERATED = generated()


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == GENERATED[path], "run `make docs`"


@pytest.mark.parametrize("name", sorted(SET_BY_TEMPLATES))
def test_a_setting_that_is_no_value_is_set_by_a_template(name: str) -> None:
    templates = "".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    assert f"WORKFLOW_OPERATOR_{name.upper()}" in templates


def test_what_is_not_offered_is_a_setting() -> None:
    assert {each.name for each in fields(Settings)} >= NOT_OFFERED


def test_the_defaults_of_the_values_are_those_of_the_program() -> None:
    values = Values().settings.model_dump()
    assert values == {each.name: each.default for each in fields(Settings) if each.name in tunable()}


def test_no_default_names_a_registry() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["image"]["registry"] == values["nats"]["bundled"]["image"]["registry"] == ""


def test_what_the_chart_says_of_itself_is_so() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == importlib.metadata.version("workflow-operator")
    told = {name.removeprefix("artifacthub.io/"): yaml.safe_load(text) for name, text in chart["annotations"].items()}
    nats = Values().nats.bundled.image
    assert [image["image"] for image in told["images"]] == [
        f"workflow-operator:{chart['appVersion']}",
        f"{nats.repository}:{nats.tag}",
    ]
    crds = [yaml.safe_load(file.read_text()) for file in sorted(CRDS.glob("*.yaml"))]
    for described, crd in zip(told["crds"], crds, strict=True):
        assert (described["name"], described["kind"]) == (crd["metadata"]["name"], crd["spec"]["names"]["kind"])
        assert [described["version"]] == [version["name"] for version in crd["spec"]["versions"]]
    specs = {"WorkflowRun": RunSpec, "WorkflowSignal": SignalSpec}
    assert {example["kind"] for example in told["crdsExamples"]} == specs.keys()
    for example in told["crdsExamples"]:
        specs[example["kind"]].model_validate(example["spec"])


def test_every_value_is_explained() -> None:
    page = with_table(f"{BEGIN}\n{END}")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert not [row for row in rows if row.endswith("|  |")]


@pytest.mark.parametrize(
    "text",
    [
        "kind: X\nmetadata:\n  name: x\n",
        "# Generated\nkind: X\nmetadata:\n  name: '{{ x }}'\n",
        "# Generated\nkind: X\n",
    ],
    ids=["no comment", "braces", "no name"],
)
def test_a_crd_that_cannot_be_a_template_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "crd.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=str(file)):
        crd_template(file)
