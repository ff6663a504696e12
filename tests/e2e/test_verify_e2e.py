"""`workflow-operator verify` against an installation that works, and one without operators."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.e2e.world import World

pytestmark = pytest.mark.e2e


def verify(world: World, namespace: str, timeout_seconds: int) -> subprocess.CompletedProcess[str]:
    command = "from workflow_operator.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, "verify", "-n", namespace, "--timeout", str(timeout_seconds)],
        env={"PATH": os.environ["PATH"], "KUBECONFIG": str(world.stack.control_plane.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_installation_that_works_is_verified_and_nothing_is_left(world: World) -> None:
    done = verify(world, world.namespace, 60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].endswith("Complete, Succeeded: the script ended well after 1 step")
    assert world.runs() == {}


def test_a_namespace_that_is_not_there_is_named(world: World) -> None:
    done = verify(world, "nowhere", 1)
    assert done.returncode == 2
    assert 'create workflowruns nowhere: the API server answered 404: namespaces "nowhere" not found' in done.stderr
