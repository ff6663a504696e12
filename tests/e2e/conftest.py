"""One installation for the tests of a module, whole again before each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.control_plane import ControlPlane
from dev.stack import Process, Stack, blocking
from tests.e2e.shell import Shell
from tests.e2e.world import World
from tests.fixtures.workflowruns import Kubectl

REPLICAS = 2


@pytest.fixture(scope="module")
def stack(workflowrun_api: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(workflowrun_api, tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """The commands, in a folder of its own."""
    made = Shell(tmp_path)
    yield made
    made.close()


@pytest.fixture
def world(stack: Stack, kubectl: Kubectl) -> World:
    """NATS, two operators and two projectors run, whatever the test before did to them."""
    blocking(stack.nats.start())
    for _ in range(REPLICAS - len(running(stack.operators))):
        stack.add_operator()
    for _ in range(REPLICAS - len(running(stack.projectors))):
        stack.add_projector()
    return World(stack, kubectl)


def running(processes: list[Process]) -> list[Process]:
    return [process for process in processes if process.exit_code is None]
