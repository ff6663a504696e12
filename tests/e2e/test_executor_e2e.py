"""The role `executor`: it goes on while there is no operator, and knows nothing of an API server."""

from __future__ import annotations

import urllib.request

import pytest

from tests.e2e.conftest import running
from tests.e2e.scripts import STEPS, TICKING, sleeper
from tests.e2e.world import World, assert_sound, drivers, ends_with, transitions
from workflow_operator.history import EventType

pytestmark = pytest.mark.e2e


def test_an_executor_finishes_what_the_last_operator_left(world: World) -> None:
    executor = world.stack.add_executor()
    world.apply(("ticking", {"script": TICKING}), ("sleeper", {"script": sleeper(12)}))
    ticking, sleeping = world.key("ticking"), world.key("sleeper")
    world.history_until(ticking, lambda events: transitions(events) >= 5, "five steps")
    world.history_until(sleeping, ends_with(EventType.WAITING), "parked")
    for operator in running(world.stack.operators):
        operator.kill()

    for key in (ticking, sleeping):
        history = world.history_until(key, lambda events: events[-1].terminal, "ended without an operator")
        assert_sound(history)
        assert history[-1].type is EventType.SUCCEEDED
        assert f"-{executor.pid}-" in drivers(history)[-1]
    assert transitions(world.history(ticking)) == STEPS
    assert 'workflow_operator_executions_total{outcome="succeeded"} 2.0' in metrics_of(executor.health_url)

    world.stack.add_operator()
    ended = world.ended(["ticking", "sleeper"])
    assert {run["status"]["phase"] for run in ended.values()} == {"Complete"}


def metrics_of(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/metrics", timeout=10) as answer:
        return str(answer.read(), "utf-8")
