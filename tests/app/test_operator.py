"""How one installation is told from another."""

import pytest

from tests.fakes.events import history
from workflow_operator.app.operator import identity_namespace, ours, share_group
from workflow_operator.history import EventType, Origin, fold


@pytest.mark.parametrize(
    ("watched", "own", "expected"),
    [
        pytest.param((), None, "kube-system", id="all namespaces, outside of the cluster"),
        pytest.param((), "operators", "kube-system", id="all namespaces"),
        pytest.param(("team-b", "team-a"), "operators", "operators", id="some, in a pod"),
        pytest.param(("team-b", "team-a"), None, "team-b", id="some, outside of the cluster"),
    ],
)
def test_the_namespace_whose_uid_is_the_identity(watched: tuple[str, ...], own: str | None, expected: str) -> None:
    assert identity_namespace(watched, own) == expected


def test_replicas_that_see_the_same_runs_share_them_out() -> None:
    assert share_group("cluster", ("a", "b")) == share_group("cluster", ("b", "a"))
    others = [
        ("cluster", ("a", "b")),
        ("another", ("a", "b")),
        ("cluster", ("a",)),
        ("cluster", ()),
        ("cluster", ("ab",)),
    ]
    assert len({share_group(*other) for other in others}) == len(others)


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
def test_the_runs_that_are_traced_are_those_of_this_cluster_in_the_watched_namespaces(
    origin: Origin | None, watched: tuple[str, ...], expected: bool
) -> None:
    (started,) = history((EventType.STARTED, {"origin": origin} if origin else {}))
    assert ours(fold(None, started), "here", watched) is expected
