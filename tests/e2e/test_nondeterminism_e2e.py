"""A history that holds other calls than the script makes: the run fails, and its error names both."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.world import World, connected
from workflow_operator.engine import SystemClock
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.history import CallRecord, EventType, ExecutorRef, InstanceEvent, InstanceKey, digest
from workflow_operator.jetstream import Connection, JetStreamDataBus, JetStreamWorkQueue

pytestmark = pytest.mark.e2e

SCRIPT = """
function main(order) {
  transition(ship, order);
  sleep(3);
  return "shipped";
}
function ship(order) {}
"""
ORDER = {"order": 7}
SHIPPED = 'transition({"function":"ship","payload":{"order":7}})'

TABLE: list[tuple[str, tuple[str, dict[str, Any]], str]] = [
    (
        "another-function",
        ("transition", {"function": "charge", "payload": ORDER}),
        'transition({"function":"charge","payload":{"order":7}})',
    ),
    ("another-call", ("sleep", {"seconds": 5}), "sleep "),
]


@pytest.mark.parametrize("parked", [False, True], ids=["running", "parked"])
def test_a_history_of_another_script_fails_the_run(world: World, parked: bool) -> None:
    # The ConfigMap never appears, so that nobody but this test starts these instances.
    source = {"configMapKeyRef": {"name": "none", "key": "none"}}
    world.apply(*((name, {"scriptFrom": source}) for name, _, _ in TABLE))
    for name, call, _ in TABLE:
        write(world, world.key(name), call, parked)
    runs = world.ended([name for name, _, _ in TABLE])
    for name, _, held in TABLE:
        status = runs[name]["status"]
        assert (status["phase"], status["error"]["name"]) == ("Failed", "NonDeterminism")
        assert f"call 0.1: the history holds {held}" in status["error"]["message"]
        assert "but the script now asks for" in status["error"]["message"]
        assert SHIPPED in status["error"]["message"]
        assert status["conditions"][0]["reason"] == "NonDeterminism"


def write(world: World, key: InstanceKey, call: tuple[str, dict[str, Any]], parked: bool) -> None:
    """A history that begins with that call, and its instance queued."""
    writer = EventWriter(SystemClock(), uuid.uuid4)
    executor = ExecutorRef(id="another-release", epoch=0)
    name, arguments = call
    record = CallRecord(index="0.1", name=name, digest=digest(arguments))
    due = datetime.now(UTC) + timedelta(seconds=2)
    events = [writer.event(key, EventType.STARTED, script=SCRIPT, input=ORDER)]
    if name == "transition":
        fields = {"function": arguments["function"], "memory": arguments["payload"]}
        events.append(writer.event(key, EventType.TRANSITION, executor=executor, call=record, **fields))
        record = CallRecord(index="0.2", name="sleep", digest=digest({"seconds": 3}))
    if parked or name == "sleep":
        events.append(writer.event(key, EventType.TIMER_STARTED, executor=executor, call=record, fire_at=due))
    if parked:
        events.append(writer.event(key, EventType.WAITING, executor=executor, wake_at=due))
    connected(world.stack.nats.url, lambda connection: append(connection, key, events))


async def append(connection: Connection, key: InstanceKey, events: list[InstanceEvent]) -> None:
    bus, last = JetStreamDataBus(connection), 0
    for event in events:
        last = (await bus.push_instance_event(event, last)).sequence
    await JetStreamWorkQueue(connection).enqueue(key)
