"""What the runbooks tell to look at is there: objects of the chart, its values, lines of the log, reasons."""

import re
from pathlib import Path

import pytest
import yaml

from dev import tools
from tests.chart.rendering import helm_template
from tests.chart.scenarios import RELEASE
from tests.observability import promql
from tests.observability.rules import ALERTS, PROJECT, RUNBOOKS

TEXT = re.sub(r"\s+", " ", RUNBOOKS.read_text())
PROGRAM = "\n".join(file.read_text() for file in (PROJECT / "operator" / "workflow_operator").rglob("*.py"))
LOGGED = (
    "cannot pull",
    "no answer, trying again",
    "tried again",
    "the sandbox process ended with",
    "Upgrade every replica",
)
REASONS = ("NatsUnavailable", "NatsRefused", "HistoryLost", "Queued", "EngineCrash")
VALUE = r"`((?:settings|nats|networkPolicy|rbac|metrics|image|crds|operator|projector|executor)\.[a-zA-Z.]+)[=`]"


@pytest.mark.parametrize("words", LOGGED)
def test_a_line_to_look_for_in_the_log_is_written(words: str) -> None:
    assert words in TEXT
    assert words in PROGRAM


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_one_that_runs_have(reason: str) -> None:
    assert f"`{reason}`" in TEXT
    assert re.search(rf'"{reason}"|class {reason}\(', PROGRAM)


@pytest.mark.parametrize("page", ["docs/runbooks.md", "SECURITY.md", "UPGRADING.md"])
def test_a_value_of_the_chart_exists(page: str) -> None:
    values = yaml.safe_load((PROJECT / "charts" / "workflow-operator" / "values.yaml").read_text())
    named = set(re.findall(VALUE, (PROJECT / page).read_text()))
    assert named
    for path in named:
        place = values
        for part in path.split("."):
            assert part in place, path
            place = place[part]


def test_every_metric_that_is_named_exists() -> None:
    known = {metric.name for metric in promql.metrics.ALL}
    assert set(re.findall(r"workflow_operator_[a-z_]+", TEXT)) <= known


def test_every_expression_asks_for_what_there_is() -> None:
    expressions = [each for each in re.findall(r"`([^`]+)`", TEXT) if "workflow_operator_" in each and "(" in each]
    assert expressions
    assert [fault for each in expressions for fault in promql.faults(each, promql.known_series())] == []


def test_links_between_sections_lead_to_one() -> None:
    anchors = set(re.findall(r"\(#(\w+)\)", TEXT))
    assert anchors
    assert anchors <= {name.lower() for name in ALERTS}


@pytest.mark.integration
def test_every_object_that_is_named_is_one_of_the_chart() -> None:
    rendered = {(each["kind"].lower(), each["metadata"]["name"]) for each in helm_template(Path(tools.helm()), {})}
    named = re.findall(r"\b(deployment|statefulset|service)[/ ]\$APP-([a-z-]+)", TEXT)
    assert {kind for kind, _ in named} == {"deployment", "statefulset", "service"}
    assert {(kind, f"{RELEASE}-workflow-operator-{name}") for kind, name in named} <= rendered
