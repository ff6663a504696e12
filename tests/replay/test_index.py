from __future__ import annotations

from workflow_operator.replay.index import ROOT, call_index


def test_an_index_is_parent_and_number() -> None:
    assert call_index(ROOT, 1) == "0.1"
    assert call_index("12", 3) == "12.3"
