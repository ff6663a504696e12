"""Runs that end otherwise than by their script: at fault from the start, or ended by an administrator."""

from __future__ import annotations

import json

import pytest

from tests.e2e.scripts import QUICK, sleeper
from tests.e2e.world import World, ends_with
from tests.fixtures.workflowruns import manifest
from workflow_operator.history import EventType

pytestmark = pytest.mark.e2e


def test_an_input_over_the_limit_fails_and_is_over(world: World) -> None:
    world.kubectl("create", "-f", "-", document=manifest("large", {"script": QUICK, "input": "x" * 270_000}))
    world.kubectl("wait", "workflowrun", "large", "--for=condition=Finished", "--timeout=30s")
    status = world.run("large")["status"]
    assert (status["phase"], status["error"]["name"]) == ("Failed", "PayloadTooLarge")
    assert "spec.input has 270002 bytes as JSON; expected at most 262144" in status["error"]["message"]
    assert "WORKFLOW_OPERATOR_PAYLOAD_BYTES" in status["error"]["message"]
    assert status["completionTime"]

    def told() -> list[str]:
        events = json.loads(world.kubectl("get", "events", "-o", "json"))["items"]
        return [each["reason"] for each in events if each["involvedObject"]["name"] == "large"]

    world.until(lambda: told() == ["Failed"], "an Event tells of it")


def test_a_run_that_an_administrator_cancels_is_over_and_kept(world: World) -> None:
    world.apply(("sleeps", {"script": sleeper(3600)}))
    key = world.key("sleeps")
    world.history_until(key, ends_with(EventType.WAITING), "parked")
    world.until(lambda: world.run("sleeps")["status"].get("instanceID"), "its status is written")
    patch = json.dumps({"status": {"phase": "Cancelled"}})
    world.kubectl("patch", "workflowrun", "sleeps", "--subresource=status", "--type=merge", "-p", patch)
    world.kubectl("wait", "workflowrun", "sleeps", "--for=condition=Finished", "--timeout=30s")
    status = world.run("sleeps")["status"]
    assert (status["phase"], [each["type"] for each in status["conditions"]]) == ("Cancelled", ["Finished"])
    assert status["completionTime"]
    history = world.history_until(key, ends_with(EventType.CANCELLED), "its instance is cancelled")
    [asked] = [each.reason for each in history if each.type is EventType.CANCEL_REQUESTED]
    assert asked == "somebody set status.phase of its WorkflowRun to Cancelled"


def test_columns_tell_why(world: World) -> None:
    source = {"configMapKeyRef": {"name": "absent", "key": "main.js"}}
    world.apply(("waits", {"scriptFrom": source}), ("fails", {"script": "function main() { null.x }"}))
    world.ended(["fails"])
    world.until(lambda: "ConfigMapNotFound" in world.kubectl("get", "workflowruns"), "one says what it waits for")
    assert "TypeError" in world.kubectl("get", "workflowruns")
