"""The alerts ask for what there is, and each leads to its page. Whether they fire is in test_alerts_fire.py."""

import re

import pytest
from promql_parser import MatchOp

from tests.observability import promql
from tests.observability.rules import ALERTS, EVERY_NAMESPACE, FILE, RUNBOOK_PREFIX, RUNBOOKS

SEVERITIES = {"critical", "warning"}
KNOWN = promql.known_series()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_asks_for_series_that_there_are(name: str) -> None:
    assert promql.faults(ALERTS[name]["expr"], KNOWN) == []


@pytest.mark.parametrize("name", ALERTS)
def test_every_selector_can_be_narrowed_to_one_namespace(name: str) -> None:
    selectors = promql.selectors(ALERTS[name]["expr"])
    assert selectors
    assert ALERTS[name]["expr"].count(EVERY_NAMESPACE) == len(selectors)
    narrowed = ALERTS[name]["expr"].replace(EVERY_NAMESPACE, 'namespace="here"')
    asked = [
        [(m.name, m.value) for m in s.matchers.matchers if m.op == MatchOp.Equal] for s in promql.selectors(narrowed)
    ]
    assert all(("namespace", "here") in matchers for matchers in asked)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_all_that_somebody_on_call_needs(name: str) -> None:
    rule = ALERTS[name]
    assert name.startswith("WorkflowOperator")
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert rule["labels"]["severity"] in SEVERITIES
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == RUNBOOK_PREFIX + name.lower()


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    headings = re.findall(r"^## (WorkflowOperator\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert headings == list(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_has_every_part(name: str) -> None:
    section = RUNBOOKS.read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    parts = re.findall(r"^\*\*(.+?)\.\*\*", section, re.MULTILINE)
    assert parts == ["What it means", "What users notice", "Why this threshold", "Look", "Mend", "Escalate"]


def test_the_chart_finds_the_texts_that_it_replaces() -> None:
    rules = FILE.read_text().split("\ngroups:\n")[1]
    assert rules.count(RUNBOOK_PREFIX) == len(ALERTS)
    assert rules.count("namespace=") == rules.count(EVERY_NAMESPACE)


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum(workflow_operator_gone)", "no metric workflow_operator_gone"),
        ('workflow_operator_queue_depth{status="waiting"}', "has no label status"),
        ('workflow_operator_queue_depth{state="waiting,held"}', "state is never waiting,held"),
        ('workflow_operator_queue_depth{state=~"wait"}', "state is never wait"),
        ("sum by (version) (workflow_operator_queue_depth)", "no label version"),
        ("workflow_operator_replays_total > 0", "only its growth means something"),
        ("rate(workflow_operator_executor_slots[5m])", "a gauge"),
        ("rate(workflow_operator_queue_wait_seconds[5m])", "no metric"),
    ],
)
def test_the_checker_of_these_tests_notices(expression: str, fault: str) -> None:
    assert fault in "; ".join(promql.faults(expression, KNOWN))
