"""spec.suspend, on the whole stack."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime

import pytest

from tests.e2e.shell import COMMAND
from tests.e2e.world import World, ends_with
from workflow_operator.history import EventType

pytestmark = pytest.mark.e2e

NAPS = "async function main() { await step.sleep('nap', '12s'); return await step.do('after', () => 'done') }"


def command(world: World, word: str, name: str) -> str:
    env = {"PATH": os.environ["PATH"], "KUBECONFIG": str(world.stack.control_plane.kubeconfig)}
    words = [str(COMMAND), word, f"{world.namespace}/{name}"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_suspended_run_begins_nothing_until_it_is_resumed(world: World) -> None:
    world.apply(
        ("naps", {"script": NAPS}),
        ("held", {"script": NAPS, "suspend": True}),
        ("gone", {"script": NAPS, "suspend": True}),
    )
    naps, held, gone = world.key("naps"), world.key("held"), world.key("gone")
    world.history_until(naps, ends_with(EventType.WAITING), "parked")
    assert command(world, "suspend", "naps") == "workflowrun/naps suspended\n"
    parked = world.history_until(naps, ends_with(EventType.SUSPENDED), "suspended")
    world.history_until(held, ends_with(EventType.SUSPENDED), "suspended from the start")
    due = parked[-2].wake_at
    assert due is not None
    world.until(lambda: datetime.now(UTC) > due, "its timer has fired", within=60)
    world.until(lambda: "Suspended" in world.kubectl("get", "workflowrun", "naps"), "it says so")
    status = world.run("naps")["status"]
    assert status["suspendedAt"]
    assert [(each["kind"], each["name"]) for each in status["waitingFor"]] == [("Timer", "nap")]
    world.kubectl("delete", "workflowrun", "gone")
    world.history_until(gone, ends_with(EventType.CANCELLED), "cancelled")
    assert world.history(naps)[-1].type is EventType.SUSPENDED
    assert [event.type for event in world.history(held)] == [EventType.STARTED, EventType.SUSPENDED]

    for name in ("naps", "held"):
        assert command(world, "resume", name) == f"workflowrun/{name} resumed\n"
    ended = world.ended(["naps", "held"])
    assert {name: run["status"]["output"] for name, run in ended.items()} == {"naps": "done", "held": "done"}
    assert not {"suspendedAt", "waitingFor"} & ended["naps"]["status"].keys()
