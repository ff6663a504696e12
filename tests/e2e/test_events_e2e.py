"""Kubernetes Events of a run, as kubectl shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.scripts import QUICK, sleeper
from tests.e2e.world import World, connected, ends_with
from workflow_operator.app.roles import event_writer
from workflow_operator.engine import EngineLimits, WorkflowRunner
from workflow_operator.history import EventType, InstanceKey
from workflow_operator.jetstream import Connection, JetStreamDataBus, JetStreamWorkQueue

pytestmark = pytest.mark.e2e

LONG_ERROR = f"function main() {{ throw new RangeError('{'é' * 900}') }}"


def test_trouble_is_told_once_and_ends_where_that_is_asked_for(world: World) -> None:
    source = {"configMapKeyRef": {"name": "scripts", "key": "flow.js"}}
    world.apply(("waits", {"scriptFrom": source}), ("well", {"script": QUICK}), ("fails", {"script": LONG_ERROR}))
    world.ended(["well", "fails"])
    world.until(lambda: [kind for kind, _, _ in told(world, "waits")] == ["Warning"], "an Event of the trouble")
    world.until(lambda: told(world, "fails"), "an Event of the failure")
    tell_of_every_end(world)
    world.kubectl("create", "configmap", "scripts", f"--from-literal=flow.js={QUICK}")
    world.apply(("ends", {"script": QUICK}))
    world.ended(["waits", "ends"])

    complete = ("Normal", "Complete", "the script ended well after 0 steps")
    waiting = f"ConfigMap {world.namespace}/scripts does not exist; the run starts when it appears"
    world.until(lambda: len(told(world, "waits")) == 2, "an Event of its end")
    world.until(lambda: told(world, "ends"), "an Event of its end")
    assert told(world, "waits") == [("Warning", "ConfigMapNotFound", waiting), complete]
    assert told(world, "ends") == [complete]
    assert told(world, "well") == []
    [(kind, reason, note)] = told(world, "fails")
    assert (kind, reason) == ("Warning", "Failed")
    assert note.startswith("RangeError: ééé")
    assert note.endswith("é…")
    assert "no Event" not in "".join(str(operator.log_records()) for operator in world.stack.operators)

    described = world.kubectl("describe", "workflowrun", "waits")
    shown = [" ".join(line.split()) for line in described[described.index("Events:") :].splitlines()]
    assert any(
        line.startswith("Warning ConfigMapNotFound") and f"workflow-operator.dev/operator {waiting}" in line
        for line in shown
    )
    listed = world.kubectl("get", "events")
    assert sum("workflowrun/ends" in line and "Complete" in line for line in listed.splitlines()) == 1


def tell_of_every_end(world: World) -> None:
    for operator in list(world.stack.operators):
        operator.stop()
        world.stack.add_operator(WORKFLOW_OPERATOR_EVENTS="all")


def test_a_cancelled_run_says_so_while_its_object_is_there(world: World) -> None:
    tell_of_every_end(world)
    world.apply(("run", {"script": sleeper(600)}))
    key = world.key("run")
    world.history_until(key, ends_with(EventType.WAITING), "parked")
    cancel(world, key)
    world.ended(["run"])
    world.until(lambda: told(world, "run"), "an Event")
    assert told(world, "run") == [("Normal", "Cancelled", "the run was cancelled after 1 step")]


def cancel(world: World, key: InstanceKey) -> None:
    """As no user can yet: a run is cancelled by deleting its object."""

    async def ask(connection: Connection) -> bool:
        bus, queue = JetStreamDataBus(connection), JetStreamWorkQueue(connection)
        return await WorkflowRunner(bus, queue, event_writer(), EngineLimits()).cancel(key, "the test wants it")

    assert connected(world.stack.nats.url, ask)


def told(world: World, name: str) -> list[tuple[str, str, str]]:
    """The Events of a run, the oldest first: type, reason and note."""
    items: list[dict[str, Any]] = json.loads(world.kubectl("get", "events.events.k8s.io", "-o", "json"))["items"]
    mine = [each for each in items if each["regarding"]["name"] == name]
    return [(each["type"], each["reason"], each["note"]) for each in sorted(mine, key=lambda each: each["eventTime"])]
