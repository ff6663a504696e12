"""An event from outside: created with kubectl, got by the script, and told of in its status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.world import JsonObject, World, ends_with
from workflow_operator.history import EventType

pytestmark = pytest.mark.e2e

WAITS = """
async function main() {
  const answer = await step.waitForEvent("approval", { type: ["approve", "reject"], timeout: "1 hour" });
  return [answer.type, answer.payload, answer.id, answer.sender ?? null];
}
"""


def manifest(run: str, kind: str, name: str = "", **spec: Any) -> JsonObject:
    metadata = {"name": name} if name else {"generateName": "sent-"}
    return {
        "apiVersion": "workflow-operator.dev/v1alpha1",
        "kind": "WorkflowSignal",
        "metadata": metadata,
        "spec": {"runRef": {"name": run}, "type": kind, **spec},
    }


def shown(world: World, name: str) -> tuple[str, str]:
    signal = json.loads(world.kubectl("get", "workflowsignal", name, "-o", "json"))
    conditions = signal["status"].get("conditions", [])
    return signal["status"]["phase"], conditions[0]["reason"] if conditions else ""


def becomes(world: World, name: str, *expected: str) -> None:
    world.until(lambda: shown(world, name) == expected, f"{name} is {expected}")


def test_a_run_gets_what_was_created_for_it_before_and_after_its_wait(world: World) -> None:
    world.kubectl("create", "-f", "-", document=manifest("later", "approve", "early", payload={"n": 1}))
    becomes(world, "early", "Pending", "RunNotFound")
    world.apply(("waits", {"script": WAITS}), ("later", {"script": WAITS}))
    waits = world.key("waits")
    world.history_until(waits, ends_with(EventType.WAITING), "parked")
    world.until(lambda: "WaitingForEvent" in world.kubectl("get", "workflowrun", "waits"), "it says what it waits for")
    wide = world.kubectl("get", "workflowrun", "waits", "-o", "wide")
    assert "the script waits for the event approve or reject (approval) until 2" in wide

    world.kubectl(
        "create", "-f", "-", document=manifest("waits", "reject", "no", payload={"why": "no"}, sender="mallory")
    )
    # Another one with its ID is the same one; one of another type is kept.
    world.kubectl("create", "-f", "-", document=manifest("waits", "approve", "again", id="no"))
    ended = world.ended(["waits", "later"])
    # Nobody has held the sender to who created it.
    assert ended["waits"]["status"]["output"] == ["reject", {"why": "no"}, "no", None]
    assert ended["later"]["status"]["output"] == ["approve", {"n": 1}, "early", None]
    assert ended["later"]["status"]["signals"] == {"received": 1, "unconsumed": 0}
    becomes(world, "no", "Delivered", "Delivered")
    becomes(world, "early", "Delivered", "Delivered")
    events = [event.type for event in world.history_until(waits, ends_with(EventType.SUCCEEDED), "ended")]
    assert events.count(EventType.SIGNAL) == 1
    sequences = [
        json.loads(world.kubectl("get", "workflowsignal", name, "-o", "json"))["status"].get("historySequence")
        for name in ("no", "again")
    ]
    assert sequences[0] is not None
    assert sequences[1] in (None, sequences[0])

    world.kubectl("create", "-f", "-", document=manifest("waits", "approve", "over"))
    world.kubectl("create", "-f", "-", document=manifest("waits", "approve", "late", ttlSecondsAfterDelivered=1))
    becomes(world, "over", "Rejected", "RunFinished")
    world.until(lambda: not _is_there(world, "late"), "it is deleted when its time is over")


def _is_there(world: World, name: str) -> bool:
    return name in world.kubectl("get", "workflowsignals", "-o", "name")


def test_an_event_survives_the_operator_that_was_to_deliver_it(world: World) -> None:
    world.apply(("waits", {"script": WAITS}))
    world.history_until(world.key("waits"), ends_with(EventType.WAITING), "parked")
    for operator in list(world.stack.operators):
        operator.kill()
    world.kubectl("create", "-f", "-", document=manifest("waits", "approve", "meanwhile"))
    world.stack.add_operator()
    assert world.ended(["waits"])["waits"]["status"]["output"][0] == "approve"


def test_the_command_creates_an_object_or_appends_to_the_history(world: World) -> None:
    world.apply(("one", {"script": WAITS}), ("two", {"script": WAITS}))
    for name in ("one", "two"):
        world.history_until(world.key(name), ends_with(EventType.WAITING), "parked")
    told = world.stack.workflow_operator("signal", f"{world.namespace}/one", "approve", "--data", '{"n": 2}')
    assert told.startswith("workflowsignal/one-")
    told = world.stack.workflow_operator("signal", f"{world.namespace}/two", "reject", "--direct", "--id", "7")
    assert "event reject with ID 7 is sequence " in told
    ended = world.ended(["one", "two"])
    assert ended["one"]["status"]["output"][:2] == ["approve", {"n": 2}]
    assert ended["two"]["status"]["output"] == ["reject", None, "7", None]


def test_what_cannot_be_an_event_is_refused(world: World) -> None:
    for spec, said in (
        ({"type": ""}, "spec.type"),
        ({"type": "x" * 101}, "may not be more than 100"),
        ({"ttlSecondsAfterDelivered": -1}, "greater than or equal to 0"),
        ({"nothing": 1}, "unknown field"),
    ):
        refused = world.kubectl.refusal("create", "-f", "-", document=manifest("run", **{"kind": "a", **_named(spec)}))
        assert said in refused
    world.kubectl("create", "-f", "-", document=manifest("run", "approve", "once"))
    patch = json.dumps({"spec": {"type": "reject"}})
    assert "spec.type is immutable" in world.kubectl.refusal(
        "patch", "workflowsignal", "once", "--type=merge", "-p", patch
    )


def _named(spec: dict[str, Any]) -> dict[str, Any]:
    return {("kind" if name == "type" else name): value for name, value in spec.items()}
