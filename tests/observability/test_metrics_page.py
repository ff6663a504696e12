"""docs/metrics.md asks for series that there are."""

import re

import pytest
import yaml

from tests.observability import promql
from tests.observability.rules import ALERTS, PROJECT

PAGE = (PROJECT / "docs" / "metrics.md").read_text()
KNOWN = promql.known_series()
FIRST = re.findall(r"^\| [^|]+\? \| `([^`]+)`", PAGE, re.MULTILINE)
EXPRESSIONS = [
    each for each in re.findall(r"`([^`\n]+)`", PAGE) if "workflow_operator_" in each and re.search(r"[({]", each)
]


def test_there_are_expressions_to_look_at() -> None:
    assert len(FIRST) >= 8
    assert len(EXPRESSIONS) >= 5


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_series_that_there_are(expression: str) -> None:
    assert promql.faults(expression, KNOWN) == []


@pytest.mark.parametrize("metric", [each for each in FIRST if each not in EXPRESSIONS])
def test_a_metric_that_is_named_alone_exists(metric: str) -> None:
    assert metric in {each.name for each in promql.metrics.ALL}


def test_the_values_it_shows_are_values_of_the_chart() -> None:
    values = yaml.safe_load((PROJECT / "charts" / "workflow-operator" / "values.yaml").read_text())
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        for name, shown in yaml.safe_load(block).items():
            assert set(shown) <= set(values[name])


def test_the_alert_it_names_exists() -> None:
    assert set(re.findall(r"`(WorkflowOperator\w+)`", PAGE)) <= set(ALERTS)
