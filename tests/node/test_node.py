"""The node itself, before anything of this project is on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dev.node.choose import Cluster
from dev.node.node import HOME, Node, NodeError, remove_leftovers
from tests.e2e.world import until
from tests.node.release import PROJECT, make_namespace

# A second node, in a process that is killed; prints the node's folder.
_ANOTHER = """
import signal
from dev import tools
from dev.node.node import Node
with Node(tools.control_plane(), tools.node_programs(), tools.kubectl(), tools.helm()) as node:
    print(node.data, flush=True)
    signal.pause()
"""


def test_a_node_is_ready(node: Cluster) -> None:
    (found,) = json.loads(node.kubectl("get", "nodes", "--output=json"))["items"]
    assert {"type": "Ready", "status": "True"}.items() <= found["status"]["conditions"][-1].items()


def test_pods_below_the_restricted_standard_are_refused(node: Cluster) -> None:
    make_namespace(node, "strict")
    with pytest.raises(NodeError, match='violates PodSecurity "restricted'):
        node.kubectl("--namespace=strict", "run", "lax", "--image=nowhere")
    node.kubectl("delete", "namespace", "strict")


def test_a_node_ends_with_its_process_and_disturbs_no_other(node: Cluster) -> None:
    if not isinstance(node, Node):
        pytest.skip("a node of kind outlives its process")
    command = [sys.executable, "-c", _ANOTHER]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        other = Path(holder.stdout.readline().strip())
        assert other.parent == HOME
        holder.kill()

    def removed() -> bool:
        remove_leftovers(HOME)
        return not other.exists()

    until(removed, f"{other} can be removed, as nothing of the node lives")
    assert list(Path("/sys/fs/cgroup").glob(f"*/*{other.name}")) == []
    assert node.kubectl("get", "--raw=/readyz") == "ok"


def test_the_images_are_built_and_loaded(images: Path) -> None:
    """What the fixture does: here so that its time is seen."""
