import pytest

from dev import metrics_doc
from workflow_operator.metrics import ALL


def test_the_page_is_what_the_metrics_say() -> None:
    text = metrics_doc.PAGE.read_text()
    assert text == metrics_doc.page(text), "run: make docs"


def test_every_metric_has_one_row_of_five_cells() -> None:
    rows = metrics_doc.table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [metric.name for metric in ALL]
    assert {row.count(" | ") for row in rows} == {4}


@pytest.mark.parametrize("text", ["", metrics_doc.BEGIN, metrics_doc.END + metrics_doc.BEGIN, metrics_doc.BEGIN * 2])
def test_a_page_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        metrics_doc.page(text)
