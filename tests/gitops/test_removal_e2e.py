"""The CRD, with an API server of its own: deleting it would take the runs of every other test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import tools
from dev.control_plane import ControlPlane
from dev.stack import Process, Stack
from tests.e2e.scripts import QUICK, sleeper
from tests.e2e.world import World, ends_with
from tests.fixtures.workflowruns import CRD_FILE, CRD_NAME, Kubectl
from workflow_operator.history import EventType

DELETED_WITHIN = "--timeout=60s"


@pytest.fixture
def own_world(control_plane_binary: Path, tmp_path: Path) -> Iterator[World]:
    with (
        ControlPlane(control_plane_binary, tools.kubectl(), tmp_path / "control-plane") as control_plane,
        Stack(control_plane, tmp_path / "stack") as stack,
    ):
        control_plane.kubectl("create", "namespace", "team-a")
        yield World(stack, Kubectl(control_plane, "team-a"))


def test_the_crd_goes_and_comes_back(own_world: World) -> None:
    world = own_world
    world.apply(("asleep", {"script": sleeper(600)}), ("done", {"script": QUICK}))
    asleep = world.key("asleep")
    world.history_until(asleep, ends_with(EventType.WAITING), "parked")
    world.ended(["done"])
    world.kubectl("delete", "crd", CRD_NAME, DELETED_WITHIN)

    successors: list[Process] = []
    for operator in list(world.stack.operators):
        # A pod would start it again.
        assert operator.wait() != 0
        successors.append(world.stack.start_operator())
    missing = {"crd": "the API server does not know workflowruns of workflow-operator.dev/v1alpha1: install the CRD"}
    world.until_without_objects(
        lambda: [successor.problems() for successor in successors] == [missing] * 2, "they miss the CRD"
    )
    assert all(successor.alive() for successor in successors)

    world.kubectl("apply", "-f", str(CRD_FILE))
    world.until_without_objects(lambda: all(successor.ready() for successor in successors), "they are ready")
    world.apply(("new", {"script": QUICK}))
    assert world.ended(["new"])["new"]["status"]["phase"] == "Complete"
    history = world.history_until(asleep, lambda events: events[-1].terminal, "ends", within=90)
    assert history[-1].type is EventType.CANCELLED
