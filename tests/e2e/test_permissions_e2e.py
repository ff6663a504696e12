"""A whole installation whose NATS gives each role a login of its own, with the permissions that the chart ships."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dev.control_plane import ControlPlane
from dev.stack import Stack, blocking
from tests.e2e.scripts import QUICK, sleeper
from tests.e2e.world import World, assert_sound, ends_with, key_of
from tests.fixtures.workflowruns import Kubectl
from workflow_operator.history import EventType

pytestmark = pytest.mark.e2e


@pytest.fixture
def stack(workflowrun_api: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(workflowrun_api, tmp_path_factory.mktemp("logins"), logins=True)
    with stack:
        yield stack


def test_runs_complete_with_no_more_rights_than_needed(stack: Stack, kubectl: Kubectl) -> None:
    world = World(stack, kubectl)
    stack.add_executor()
    names = [f"run-{number}" for number in range(10)]
    world.apply(
        *((name, {"script": QUICK}) for name in names),
        ("sleeps", {"script": sleeper(8)}),
        ("deleted", {"script": sleeper(600)}),
    )
    deleted = world.key("deleted")
    world.history_until(deleted, ends_with(EventType.WAITING), "parked")
    world.kubectl("delete", "workflowruns", "deleted")
    world.history_until(deleted, ends_with(EventType.CANCELLED), "cancelled")
    # All who held anything die or reconnect, and others compare, sweep and take over.
    stack.operators[0].kill()
    blocking(stack.nats.restart())

    runs = world.ended([*names, "sleeps"])
    assert {run["status"]["phase"] for run in runs.values()} == {"Complete"}
    for history in world.histories(map(key_of, runs.values())).values():
        assert_sound(history)
    name = f"{world.namespace}/sleeps"
    assert "succeeded" in stack.workflow_operator("history", name)
    assert "Complete" in stack.workflow_operator("status", name)
    for replica in (*stack.operators, *stack.projectors, *stack.executors):
        replica.stop()

    log = stack.nats.log_file.read_text()
    assert [line for line in log.splitlines() if "iolation" in line or "authentication error" in line] == []
