"""What the benchmarks make of what they measured."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks.measure import api_requests, medians, quantile
from benchmarks.report import Line, lines, plot, table
from benchmarks.targets import Target

METRICS = """# TYPE apiserver_request_total counter
apiserver_request_total{code="200",resource="workflowruns",subresource="status",verb="PUT"} 3
apiserver_request_total{code="409",resource="workflowruns",subresource="status",verb="PUT"} 1
apiserver_request_total{code="201",resource="workflowruns",subresource="",verb="POST"} 2
apiserver_request_total{code="200",resource="leases",subresource="",verb="PUT"} 9
"""


def target(*, at_least: bool) -> Target:
    return Target("<what>", lambda results: float(results["some"]["value"]), 10.0, None, at_least, "nothing")


@pytest.mark.parametrize(
    ("at_least", "value", "reached"),
    [(True, 10, 1), (True, 20, 2), (True, 5, 0.5), (False, 10, 1), (False, 20, 0.5), (False, 5, 2)],
)
def test_how_far_a_target_is_reached(at_least: bool, value: float, reached: float) -> None:
    assert target(at_least=at_least).reached(value) == reached


def test_a_benchmark_that_did_not_run_leaves_its_lines_out() -> None:
    assert lines({}) == []


def test_the_table_says_what_is_reached() -> None:
    row = table([Line(target(at_least=True), 12.0, "nothing")]).splitlines()[1]
    assert row.split() == ["<what>", "12.0", ">=", "10.0", "reached", "nothing"]


def test_the_plot_is_a_document_with_a_bar_on_the_side_of_each_figure() -> None:
    better, worse = Line(target(at_least=True), 40.0, ""), Line(target(at_least=True), 2.5, "")
    bars = ElementTree.fromstring(plot([better, worse])).findall("{http://www.w3.org/2000/svg}rect")[1:]
    right, left = (float(bar.attrib["x"]) for bar in bars)
    assert bars[0].attrib["width"] == bars[1].attrib["width"]
    assert right == pytest.approx(left + float(bars[1].attrib["width"]))


def test_requests_are_added_up_over_their_answers() -> None:
    assert api_requests(METRICS, frozenset({"workflowruns"})) == {"PUT workflowruns/status": 4, "POST workflowruns": 2}


def test_a_quantile_is_one_of_the_values() -> None:
    assert [quantile([3, 1, 2], part) for part in (0.0, 0.5, 0.99)] == [1, 2, 3]


def test_medians_are_of_the_rounds_that_have_the_figure() -> None:
    assert medians([{"a": 1.0}, {"a": 3.0, "b": 7.0}, {"a": 2.0}]) == {"a": 2.0, "b": 7.0}
