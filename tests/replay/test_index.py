from __future__ import annotations

import pytest

from workflow_operator.replay.index import ROOT, Owners, call_index


def test_an_index_is_parent_and_number() -> None:
    assert call_index(ROOT, 1) == "0.1"
    assert call_index("12", 3) == "12.3"
    assert call_index(call_index("12", 3), 4) == "12.3.4"


@pytest.mark.parametrize(
    ("completions", "index", "owners"),
    [
        ([], "0.1", []),
        ([], "0.1.2", ["0.1"]),
        ([], "0.1.2.3", ["0.1.2", "0.1"]),
        (["0.1"], "1.1", []),
        (["0.1.1"], "1.1", ["0.1"]),
        (["0.1.1"], "1.1.1", ["1.1", "0.1"]),
        (["0.1.1", "1.1"], "2.4", ["0.1"]),
        (["0.1.1", "1.1.1"], "2.1", ["1.1", "0.1"]),
        # Settling the step itself is its caller's turn.
        (["0.1.1", "0.1"], "2.1", []),
        # The tenth delivery is not the first.
        (["0.1.1", *["0.2"] * 9], "10.1", []),
    ],
)
def test_owners(completions: list[str], index: str, owners: list[str]) -> None:
    found = Owners()
    for completed in completions:
        found.deliver(completed)
    assert list(found.of(index)) == owners
