"""Whose runs an operator traces."""

from __future__ import annotations

import pytest

from tests.fakes.events import history
from workflow_operator.app.operator import ours
from workflow_operator.history import EventType, Origin, fold


@pytest.mark.parametrize(
    ("origin", "watched", "expected"),
    [
        (Origin(cluster="here", name="run"), (), True),
        (Origin(cluster="here", name="run"), ("team-a", "team-b"), True),
        (Origin(cluster="here", name="run"), ("team-b",), False),
        (Origin(cluster="there", name="run"), (), False),
        (None, (), False),
    ],
)
def test_ours_are_the_runs_of_this_cluster_in_the_watched_namespaces(
    origin: Origin | None, watched: tuple[str, ...], expected: bool
) -> None:
    (started,) = history((EventType.STARTED, {"origin": origin} if origin else {}))
    assert ours(fold(None, started), "here", watched) is expected
