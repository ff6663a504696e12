"""NATS comes back from a backup of the stream HISTORY alone: the rest is made again, and what ended stays ended."""

from __future__ import annotations

import shutil
from uuid import UUID

import pytest

from dev.stack import blocking
from tests.e2e.conftest import running
from tests.e2e.scripts import QUICK, STEPS, TICKING, sleeper
from tests.e2e.world import World, assert_sound, connected, ends_with, key_of, transitions
from tests.fixtures.snapshot import Snapshot, backup, restore
from workflow_operator.app import roles
from workflow_operator.engine import EngineLimits
from workflow_operator.history import EventType, InstanceKey, Origin
from workflow_operator.jetstream import Connection, JetStreamDataBus, JetStreamWorkQueue
from workflow_operator.jetstream.streams.topology import HISTORY

pytestmark = pytest.mark.e2e


def test_all_goes_on_where_it_was(world: World) -> None:
    world.apply(("done", {"script": QUICK}), ("sleeps", {"script": sleeper(30)}))
    world.ended(["done"])
    sleeps = world.key("sleeps")
    world.history_until(sleeps, ends_with(EventType.WAITING), "parked")
    world.until(lambda: world.run("sleeps")["status"]["phase"] == "Running", "its status is written")
    stop_operators(world)
    queued = start_and_queue(world, "queued")
    before = world.runs()
    histories = world.histories([key_of(run) for run in before.values()])
    lose_nats(world, snapshot := take(world))
    assert world.histories(histories) == histories, "with the very sequences"

    for _ in range(2):
        world.stack.add_operator()
    after = world.ended(["done", "sleeps", "queued"])

    assert after["done"]["status"] == before["done"]["status"]
    assert world.history(key_of(before["done"])) == histories[key_of(before["done"])]
    for key, lines in ((sleeps, ["before", "after"]), (queued, ["line"])):
        history = world.history(key)
        assert_sound(history)
        assert history[: len(histories[key])] == histories[key]
        assert min(each.sequence for each in history[len(histories[key]) :]) > snapshot.state["last_seq"]
        assert world.script_lines(key) == lines
    for name in ("sleeps", "queued"):
        status = after[name]["status"]
        assert (status["phase"], status["historySequence"]) == ("Complete", world.history(world.key(name))[-1].sequence)


LONG = TICKING.replace(f"n <= {STEPS}", f"n <= {2 * STEPS}")


def test_an_older_backup_repeats_nothing_that_an_object_shows_as_finished(world: World) -> None:
    world.apply(
        ("finished", {"script": TICKING}), ("half-way", {"script": LONG}), ("cancelled", {"script": sleeper(600)})
    )
    keys = {name: key_of(run) for name, run in world.runs().items()}
    for name in ("finished", "half-way"):
        world.history_until(keys[name], lambda events: transitions(events) >= 3, "three steps")
    snapshot = take(world)
    world.apply(("lost", {"script": sleeper(600)}))
    keys["lost"] = world.key("lost")
    world.kubectl("delete", "workflowrun", "cancelled")
    world.ended(["finished"])
    world.until(lambda: shown(world, "half-way") > snapshot.state["last_seq"], "the object is ahead of the backup")
    world.until(lambda: shown(world, "lost"), "so is this one")
    stop_operators(world)
    before = world.runs()
    assert before["half-way"]["status"]["phase"] == "Running"
    printed = world.script_lines(keys["finished"])
    lose_nats(world, snapshot)

    for _ in range(2):
        world.stack.add_operator()
    after = world.ended(["finished", "half-way"])
    world.until(lambda: reason(world, "lost") == "HistoryLost", "it says that its history is gone")
    for name in ("finished", "cancelled"):
        history = world.history_until(keys[name], lambda events: events[-1].terminal, f"{name} is over", within=90)
        assert_sound(history)
        assert history[-1].type is EventType.CANCELLED
    assert after["finished"]["status"] == before["finished"]["status"]
    assert world.script_lines(keys["finished"]) == printed
    history = world.history(keys["half-way"])
    assert_sound(history)
    assert (history[-1].type, transitions(history)) == (EventType.SUCCEEDED, 2 * STEPS)
    status = after["half-way"]["status"]
    assert (status["phase"], status["steps"]) == ("Complete", 3 * STEPS)
    assert status["historySequence"] >= before["half-way"]["status"]["historySequence"]
    assert len(running(world.stack.operators)) == 2


def stop_operators(world: World) -> None:
    for operator in running(world.stack.operators):
        operator.stop()


def start_and_queue(world: World, name: str) -> InstanceKey:
    """As an operator does that dies before anybody executes it."""
    script = "function main() { log('line'); return 'queued' }"
    world.apply((name, {"script": script}))
    key = world.key(name)
    cluster = world.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")

    async def start(connection: Connection) -> UUID:
        transport = roles.Transport(connection, JetStreamDataBus(connection), JetStreamWorkQueue(connection))
        runner = roles.workflow_runner(transport, EngineLimits())
        return await runner.execute(
            key.namespace, script, instance_id=key.instance_id, origin=Origin(cluster=cluster, name=name)
        )

    connected(world.stack.nats.url, start)
    return key


def take(world: World) -> Snapshot:
    return connected(world.stack.nats.url, lambda connection: backup(connection, HISTORY))


def lose_nats(world: World, snapshot: Snapshot) -> None:
    """NATS begins anew, with nothing but what was backed up."""
    nats = world.stack.nats
    nats.kill()
    shutil.rmtree(nats.log_file.parent / "store")
    blocking(nats.start())
    connected(nats.url, lambda connection: restore(connection, snapshot))


def shown(world: World, name: str) -> int:
    return int(world.run(name)["status"].get("historySequence") or 0)


def reason(world: World, name: str) -> str:
    return str(world.run(name)["status"]["conditions"][0]["reason"])
