"""Objects come back from a backup, into this cluster or another: what is finished stays so, the rest goes on."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from tests.e2e.conftest import running
from tests.e2e.scripts import QUICK, sleeper
from tests.e2e.world import JsonObject, World, assert_sound, ends_with, key_of, listed
from workflow_operator.history import EventType

pytestmark = pytest.mark.e2e

ANOTHER_CLUSTER = {"WORKFLOW_OPERATOR_CLUSTER_ID": "the-cluster-after"}
SECONDS = 25


@pytest.mark.parametrize("env", [{}, ANOTHER_CLUSTER], ids=["same cluster", "another cluster"])
def test_finished_runs_stay_and_the_others_go_on(world: World, env: dict[str, str]) -> None:
    world.apply(
        ("done", {"script": QUICK}),
        ("failed", {"script": "function main() { throw new Error('no') }"}),
        ("sleeps", {"script": sleeper(SECONDS)}),
        ("to-be-deleted", {"script": sleeper(600)}),
    )
    world.ended(["done", "failed"])
    for name in ("sleeps", "to-be-deleted"):
        world.history_until(world.key(name), ends_with(EventType.WAITING), "parked")
        world.until(lambda name=name: shows_sleep(world.run(name)), "its status is written")  # type: ignore[misc]
    before = world.runs()
    keys = {name: key_of(run) for name, run in before.items()}
    histories = world.histories(keys.values())

    for operator in running(world.stack.operators):
        operator.stop()
    world.kubectl("delete", "workflowruns", *before)
    restore(world, before.values())
    restored = {name: key_of(run) for name, run in world.runs().items()}
    assert not set(restored.values()) & set(keys.values())
    for _ in range(2):
        world.stack.add_operator(**env)

    after = world.ended(["done", "failed", "sleeps"])
    for name in ("done", "failed"):
        assert after[name]["status"] == before[name]["status"]
        assert world.history(keys[name]) == histories[keys[name]]
    status, history = after["sleeps"]["status"], world.history(keys["sleeps"])
    assert_sound(history)
    assert (status["phase"], status["output"], status["steps"]) == ("Complete", "after", 3)
    assert status["instanceID"] == str(keys["sleeps"].instance_id)
    assert status["historySequence"] == history[-1].sequence
    assert world.script_lines(keys["sleeps"]) == ["before", "after"]

    assert not world.history(keys["to-be-deleted"])[-1].terminal, "nobody has swept it"
    world.kubectl("delete", "workflowrun", "to-be-deleted")
    history = world.history_until(keys["to-be-deleted"], lambda events: events[-1].terminal, "ends with its copy")
    assert history[-1].type is EventType.CANCELLED
    assert not any(world.histories(restored.values()).values()), "nothing was run again"


def test_a_run_whose_history_was_not_restored_says_so(world: World) -> None:
    world.apply(("run", {"script": sleeper(600)}))
    key = world.key("run")
    world.history_until(key, ends_with(EventType.WAITING), "parked")
    world.until(lambda: shows_sleep(world.run("run")), "its status is written")
    run = world.run("run")
    for operator in running(world.stack.operators):
        operator.stop()
    world.kubectl("delete", "workflowrun", "run")
    lost = "11111111-2222-4333-8444-555555555555"
    restore(world, [run | {"status": run["status"] | {"instanceID": lost}}])
    world.stack.add_operator()
    stalled = world.until(lambda: condition(world.run("run"), "Stalled"), "it says so")
    assert stalled["reason"] == "HistoryLost"
    assert world.history(world.key("run")) == []


def test_a_history_from_a_backup_older_than_the_object_goes_on(world: World) -> None:
    world.apply(("run", {"script": sleeper(SECONDS)}))
    key = world.key("run")
    world.history_until(key, ends_with(EventType.WAITING), "parked")
    world.until(lambda: shows_sleep(world.run("run")), "its status is written")
    run = world.run("run")
    for operator in running(world.stack.operators):
        operator.stop()
    world.kubectl("delete", "workflowrun", "run")
    later = run["status"]["historySequence"] + 1_000_000
    restore(world, [run | {"status": run["status"] | {"historySequence": later}}])
    world.stack.add_operator()
    status = world.ended(["run"])["run"]["status"]
    assert (status["phase"], status["historySequence"]) == ("Complete", later)
    assert_sound(world.history(key))


def test_an_object_cannot_take_over_the_instance_of_another(world: World) -> None:
    world.apply(("victim", {"script": sleeper(600)}))
    key = world.key("victim")
    world.history_until(key, ends_with(EventType.WAITING), "parked")
    world.until(lambda: shows_sleep(world.run("victim")), "its status is written")
    victim = world.run("victim")
    thief = victim | {"metadata": victim["metadata"] | {"name": "thief"}}
    for operator in running(world.stack.operators):
        operator.stop()
    restore(world, [thief])
    world.stack.add_operator()
    stalled = world.until(lambda: condition(world.run("thief"), "Stalled"), "it says so")
    assert stalled["reason"] == "ForeignInstance"
    world.kubectl("delete", "workflowrun", "thief")
    world.apply(("later", {"script": QUICK}))
    world.ended(["later"])
    assert world.history(key)[-1].type is EventType.WAITING
    assert shows_sleep(world.run("victim"))


def restore(world: World, runs: Collection[JsonObject]) -> None:
    """Create the objects without what only the API server gives, and then put back their statuses."""
    bare: list[JsonObject] = [{**run, "metadata": {"name": run["metadata"]["name"]}} for run in runs]
    world.kubectl("create", "-f", "-", document=listed(bare))
    world.kubectl("replace", "--subresource=status", "-f", "-", document=listed(bare))


def shows_sleep(run: JsonObject) -> bool:
    reconciling = condition(run, "Reconciling")
    return reconciling is not None and reconciling["reason"] == "Sleeping"


def condition(run: JsonObject, kind: str) -> JsonObject | None:
    conditions: list[JsonObject] = run["status"].get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), None)
