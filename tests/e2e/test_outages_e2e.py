"""NATS, the API server or every operator away while runs go on: all converge, and nothing is lost."""

from __future__ import annotations

import shutil

import pytest

from dev.stack import Process, blocking
from tests.e2e.conftest import running
from tests.e2e.scripts import QUICK, STEPS, TICKING, sleeper
from tests.e2e.world import World, assert_sound, ends_with, key_of, transitions
from workflow_operator.history import EventType

pytestmark = pytest.mark.e2e

NAMES = [f"run-{number}" for number in range(5)]
CANCELLED_WITHIN = 90.0
"""Seconds; who looks for deletions that nobody saw does so once a minute."""


def test_nats_is_killed_and_comes_back(world: World) -> None:
    begin(world)
    world.stack.nats.kill()
    wait_for_readiness(world, False)
    assert all(replica.alive() for replica in replicas(world))
    assert all(replica.problems()["nats"].startswith("not connected; NATS at ") for replica in replicas(world))
    world.apply(("created-meanwhile", {"script": QUICK}))
    blocking(world.stack.nats.start())
    wait_for_readiness(world, True)

    converged(world)


def test_the_api_server_goes_and_comes_back(world: World) -> None:
    begin(world)
    keys = [key_of(run) for run in world.runs().values()]
    control_plane = world.stack.control_plane
    control_plane.kill_apiserver()
    try:
        world.until_without_objects(
            lambda: not any(operator.ready() for operator in running(world.stack.operators)), "not ready"
        )
        assert all(replica.alive() for replica in replicas(world))
        assert all(projector.ready() for projector in running(world.stack.projectors))
        told = [operator.problems() for operator in running(world.stack.operators)]
        assert told == [{"apiServer": "does not answer, or is not ready"}] * 2
        # The history does not need it.
        world.until_without_objects(
            lambda: all(history[-1].type is EventType.SUCCEEDED for history in world.histories(keys).values()),
            "every history ends, although no object can be written",
        )
    finally:
        control_plane.restart_apiserver()
    world.apply(("created-after", {"script": QUICK}))
    wait_for_readiness(world, True)

    converged(world)


def test_every_operator_is_away_while_objects_come_and_go(world: World) -> None:
    asleep = {"script": sleeper(600)}
    world.apply(("deleted", asleep), ("recreated", asleep), *((name, {"script": TICKING}) for name in NAMES))
    deleted, replaced = world.key("deleted"), world.key("recreated")
    for key in (deleted, replaced):
        world.history_until(key, ends_with(EventType.WAITING), "parked")
    for operator in running(world.stack.operators):
        operator.kill()
    world.apply(("never-seen", {"script": QUICK}), ("created-meanwhile", {"script": QUICK}))
    never_seen = world.key("never-seen")
    world.kubectl("delete", "workflowruns", "deleted", "recreated", "never-seen")
    world.apply(("recreated", {"script": QUICK}))
    for _ in range(2):
        world.stack.add_operator()

    converged(world)
    assert world.key("recreated") != replaced
    for key in (deleted, replaced):
        history = world.history_until(
            key, lambda events: events[-1].terminal, "the orphan ends", within=CANCELLED_WITHIN
        )
        assert_sound(history)
        assert history[-1].type is EventType.CANCELLED
        assert history[-1].reason == "the WorkflowRun was deleted"
    assert world.history(never_seen) == []


def test_nats_comes_back_with_an_empty_store(world: World) -> None:
    world.apply(("done", {"script": QUICK}), ("under-way", {"script": sleeper(600)}))
    world.ended(["done"])
    world.until(lambda: world.run("under-way")["status"]["phase"] == "Running", "its status is written")
    before = world.run("under-way")["status"]
    nats = world.stack.nats
    nats.kill()
    shutil.rmtree(nats.log_file.parent / "store")
    blocking(nats.start())
    wait_for_readiness(world, True)

    def reasons() -> list[str]:
        return [each["reason"] for each in world.run("under-way")["status"]["conditions"]]

    world.until(lambda: reasons() == ["HistoryLost"], "the run says that its history is gone")
    assert world.run("under-way")["status"] | {"conditions": []} == before | {"conditions": []}
    world.apply(("new", {"script": QUICK}))
    assert {run["status"]["phase"] for run in world.ended(["done", "new"]).values()} == {"Complete"}
    assert world.history(world.key("under-way")) == [], "it was run again"


def begin(world: World) -> None:
    """Runs that are in their middle when this returns."""
    world.apply(*((name, {"script": TICKING}) for name in NAMES))
    keys = [key_of(run) for run in world.runs().values()]
    world.until(
        lambda: all(transitions(history) >= 3 for history in world.histories(keys).values()), "three steps each"
    )


def converged(world: World) -> None:
    """Every object ends as complete, and its history is whole."""
    runs = world.ended(world.runs(), within=120)
    histories = world.histories(map(key_of, runs.values()))
    for name, run in runs.items():
        status, history = run["status"], histories[key_of(run)]
        assert_sound(history)
        wanted = (STEPS + STEPS // 2, "done") if name in NAMES else (0, "quick")
        assert (status["phase"], status["steps"], status["output"]) == ("Complete", *wanted)
        assert status["historySequence"] == history[-1].sequence


def replicas(world: World) -> list[Process]:
    return running([*world.stack.operators, *world.stack.projectors])


def wait_for_readiness(world: World, ready: bool) -> None:
    world.until_without_objects(
        lambda: all(replica.ready() is ready for replica in replicas(world)), f"every replica's readiness is {ready}"
    )
