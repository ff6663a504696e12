"""How one installation is told from another."""

import asyncio

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.events import history
from workflow_operator.app.operator import end_with_the_watch, identity_namespace, ours, share_group
from workflow_operator.handlers import Pulse
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


async def test_an_operator_ends_when_its_watch_is_dead_and_not_before() -> None:
    clock, answer = FakeClock(), "away"
    pulse = Pulse(1, 0.0)
    start = clock.now()

    def now() -> float:
        return (clock.now() - start).total_seconds()

    async def api_server() -> str | None:
        return answer or None

    ending = asyncio.ensure_future(end_with_the_watch(pulse, api_server, now, clock.sleep))
    await clock.advance(600)
    assert not ending.done(), "there is nobody who could speak"
    answer = ""
    for _ in range(10):
        pulse.heard("all", now())
        await clock.advance(60)
    assert not ending.done()
    await clock.advance(65)
    with pytest.raises(RuntimeError, match=r"has said nothing for 1[12]\d s; .* although the API server answers"):
        await asyncio.wait_for(ending, 5)


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
