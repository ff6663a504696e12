"""What a user does to objects, and what the objects say."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from dev.control_plane import ControlPlane
from tests.e2e.scripts import QUICK, sleeper
from tests.e2e.world import JsonObject, World, assert_sound, ends_with, key_of, writes
from tests.fixtures.workflowruns import Kubectl
from workflow_operator.history import EventType

pytestmark = pytest.mark.e2e

MAX_STATUS_BYTES = 32 * 1024
PROGRESS_SECONDS = 10


def test_deleting_a_run_cancels_it_and_its_name_is_free(world: World) -> None:
    world.apply(("run", {"script": sleeper(600)}))
    first = world.key("run")
    world.history_until(first, ends_with(EventType.WAITING), "parked")
    world.kubectl("delete", "workflowrun", "run")
    world.apply(("run", {"script": QUICK}))

    history = world.history_until(first, lambda events: events[-1].terminal, "ends")
    assert_sound(history)
    assert [event.type for event in history[-2:]] == [EventType.CANCEL_REQUESTED, EventType.CANCELLED]
    assert history[-1].reason == "the WorkflowRun was deleted"
    second = world.ended(["run"])["run"]
    assert key_of(second) != first
    assert second["status"]["instanceID"] == second["metadata"]["uid"]
    assert second["status"]["output"] == "quick"


def test_deleting_a_run_stops_its_script(world: World) -> None:
    world.apply(("run", {"script": "function main() { for (;;) { transition(f, 1); sleep(1) } } function f() {}"}))
    key = world.key("run")
    world.history_until(key, lambda events: len(events) > 4, "under way")
    world.kubectl("delete", "workflowrun", "run")
    history = world.history_until(key, lambda events: events[-1].terminal, "ends")
    assert_sound(history)
    assert history[-1].type is EventType.CANCELLED
    # Whoever takes the message ends it; nobody else went on with it.
    assert EventType.CLAIMED not in [event.type for event in history]
    assert len({event.executor.id for event in history[:-1] if event.executor}) == 1


def test_a_script_from_a_config_map_is_awaited(world: World, other_namespace: Kubectl) -> None:
    where = f"ConfigMap {world.namespace}/scripts"
    other_namespace("create", "configmap", "scripts", "--from-literal=flow.js=function main() { return 'foreign' }")
    source = {"configMapKeyRef": {"name": "scripts", "key": "flow.js"}}
    world.apply(("run", {"scriptFrom": source}))
    pending = world.until(lambda: reconciling(world.run("run"), "ConfigMapNotFound"), "waits for the ConfigMap")
    assert pending["message"] == f"{where} does not exist; the run starts when it appears"
    assert world.run("run")["status"]["phase"] == "Pending"
    assert world.history(world.key("run")) == []

    world.kubectl("create", "configmap", "scripts", "--from-literal=other.js=1")
    pending = world.until(lambda: reconciling(world.run("run"), "ConfigMapKeyNotFound"), "waits for the key")
    assert pending["message"] == f"{where} has no key 'flow.js' in data; the run starts when it appears"
    assert world.run("run")["status"]["phase"] == "Pending"

    patch = {"data": {"flow.js": "function main() { return 'own' }"}}
    world.kubectl("patch", "configmap", "scripts", "--type=merge", "-p", json.dumps(patch))
    run = world.ended(["run"])["run"]
    assert (run["status"]["phase"], run["status"]["output"]) == ("Complete", "own")
    assert [condition["type"] for condition in run["status"]["conditions"]] == ["Complete", "Finished"]


def test_a_run_that_takes_long_is_written_seldom(world: World) -> None:
    before = writes(world.stack.control_plane.metrics())
    script = "function main() { for (let n = 0; n < 24; n++) { transition(f, n); sleep(1) } } function f() {}"
    world.apply(("run", {"script": script}))
    run = world.ended(["run"])["run"]
    made = writes(world.stack.control_plane.metrics()) - before
    made["workflowruns", "", "POST"] -= 1
    events = world.history(key_of(run))
    seconds = (events[-1].time - events[0].time).total_seconds()
    assert seconds > 23
    assert ("events", "", "POST") not in made, "it went well"
    # Pending -> Running -> Complete.
    assert 1 < made.total() <= 1 + 2 + seconds // PROGRESS_SECONDS, dict(made)


def test_a_large_output_is_named_in_the_object_and_shown_by_the_command(world: World) -> None:
    script = "function main() { return transition(f, 'y'.repeat(60000)) } function f() { return 'x'.repeat(102400) }"
    world.apply(("run", {"script": script}))
    status = world.ended(["run"])["run"]["status"]
    assert status["phase"] == "Complete"
    assert len(json.dumps(status)) < MAX_STATUS_BYTES
    for field, whole in {"output": "x" * 102400, "memory": "y" * 60000}.items():
        pointer = status[field]
        assert (pointer["truncated"], pointer["bytes"]) == (True, len(whole) + 2)
        program, *words = shlex.split(pointer["readWith"])
        assert program == "workflow-operator"
        assert json.loads(world.stack.workflow_operator(*words)) == whole
    by_name = json.loads(world.stack.workflow_operator("status", f"{world.namespace}/run", "-o", "json"))
    assert by_name["output"] == "x" * 102400


@pytest.fixture
def other_namespace(workflowrun_api: ControlPlane, world: World) -> Kubectl:
    workflowrun_api.kubectl("create", "namespace", f"{world.namespace}-other")
    return Kubectl(workflowrun_api, f"{world.namespace}-other")


def reconciling(run: dict[str, Any], reason: str) -> JsonObject | None:
    conditions: list[JsonObject] = run["status"].get("conditions", [])
    return next((each for each in conditions if each["type"] == "Reconciling" and each["reason"] == reason), None)
