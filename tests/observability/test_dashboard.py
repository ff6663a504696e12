"""The dashboard asks for what there is, and Grafana can lay it out."""

from itertools import combinations
from typing import Any

import pytest

from dev import dashboard
from tests.observability import promql

ALL = dashboard.dashboard()["panels"]
PANELS = [panel for panel in ALL if panel["type"] != "row"]
UNITS = {"short", "s", "ops", "reqps", "bytes"}
FOREIGN = {
    "container_memory_working_set_bytes": promql.Series({}, counts=False),
    "container_cpu_usage_seconds_total": promql.Series({}, counts=True),
}
"""The kubelet's."""
KNOWN = promql.known_series() | FOREIGN


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"].replace("$__rate_interval", "5m") for target in panel["targets"]]


def titled(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def test_the_file_is_current() -> None:
    assert dashboard.FILE.read_text() == dashboard.text(), "run: python -m dev.dashboard"


@pytest.mark.parametrize("panel", PANELS, ids=titled)
def test_a_panel_asks_for_series_that_there_are(panel: dict[str, Any]) -> None:
    assert [fault for each in expressions(panel) for fault in promql.faults(each, KNOWN)] == []


@pytest.mark.parametrize("panel", PANELS, ids=titled)
def test_a_panel_shows_the_chosen_installation_only(panel: dict[str, Any]) -> None:
    for expression in expressions(panel):
        assert expression.count('namespace="$namespace"') == len(promql.selectors(expression)) > 0


@pytest.mark.parametrize("panel", PANELS, ids=titled)
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("panel", PANELS, ids=titled)
def test_times_are_shown_in_seconds_and_nothing_else_is(panel: dict[str, Any]) -> None:
    seconds = "_seconds_bucket" in expressions(panel)[0]
    assert (panel["fieldConfig"]["defaults"]["unit"] == "s") is seconds


def test_every_metric_of_our_own_is_shown_somewhere() -> None:
    asked = {each.name for panel in PANELS for query in expressions(panel) for each in promql.selectors(query)}
    shown = {name for metric in promql.metrics.ALL for name in asked if name and name.startswith(metric.name)}
    left_out = {metric.name for metric in promql.metrics.ALL if not any(s.startswith(metric.name) for s in shown)}
    # Of a tool for looking at traces, which are off by default.
    assert left_out == {"workflow_operator_traces_total"}


def test_ids_are_unique() -> None:
    assert len({panel["id"] for panel in ALL}) == len(ALL)
    for panel in PANELS:
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_no_two_panels_overlap_and_none_leaves_the_grid() -> None:
    cells: dict[int, set[tuple[int, int]]] = {}
    for panel in ALL:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= dashboard.WIDTH
        columns = range(place["x"], place["x"] + place["w"])
        cells[panel["id"]] = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
    assert [pair for pair in combinations(cells, 2) if cells[pair[0]] & cells[pair[1]]] == []


def test_every_variable_that_is_used_is_declared() -> None:
    declared = {variable["name"] for variable in dashboard.dashboard()["templating"]["list"]}
    assert declared == {"datasource", "namespace"}
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
