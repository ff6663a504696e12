"""JetStream is full while the connection is well: the runs say so, nothing is lost, and all goes on with more room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.control_plane import ControlPlane
from dev.stack import Stack, blocking
from tests.e2e.scripts import QUICK
from tests.e2e.world import World, assert_sound, key_of
from tests.fixtures.workflowruns import Kubectl

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
HOARDER = """
function main() { for (let n = 0; n < 20; n++) transition(keep, 'x'.repeat(200000)); return 20 }
function keep() {}
"""
HOARDERS = [f"hoarder-{number}" for number in range(4)]


@pytest.fixture
def small(workflowrun_api: ControlPlane, kubectl: Kubectl, tmp_path: Path) -> Iterator[World]:
    stack = Stack(workflowrun_api, tmp_path / "stack")
    stack.nats.storage_bytes = 12 * MIB
    stack.start(operators=1, projectors=1)
    yield World(stack, kubectl)
    stack.stop()


def test_a_full_store(small: World) -> None:
    small.apply(*((name, {"script": HOARDER}) for name in HOARDERS))

    def full(name: str) -> str | None:
        for condition in small.run(name)["status"].get("conditions", []):
            if condition["reason"] == "StorageFull":
                return str(condition["message"])
        return None

    message = small.until(lambda: next(filter(None, map(full, HOARDERS)), None), "a run says that the store is full")
    assert "JetStream refuses messages on " in message
    small.apply(("late", {"script": QUICK}))
    small.until(lambda: full("late"), "a new run says so too", within=30)

    small.stack.nats.storage_bytes = 1024 * MIB
    blocking(small.stack.nats.restart())
    runs = small.ended([*HOARDERS, "late"])
    assert {run["status"]["phase"] for run in runs.values()} == {"Complete"}
    assert [runs[name]["status"]["steps"] for name in HOARDERS] == [20] * len(HOARDERS)
    for run in runs.values():
        assert_sound(small.history(key_of(run)))
