"""The node itself, before anything of this project is on it."""

from __future__ import annotations

import json

import pytest

from dev.node.choose import Cluster
from dev.node.node import NodeError
from tests.node.release import make_namespace


def test_a_node_is_ready(node: Cluster) -> None:
    (found,) = json.loads(node.kubectl("get", "nodes", "--output=json"))["items"]
    assert {"type": "Ready", "status": "True"}.items() <= found["status"]["conditions"][-1].items()


def test_pods_below_the_restricted_standard_are_refused(node: Cluster) -> None:
    make_namespace(node, "strict")
    with pytest.raises(NodeError, match='violates PodSecurity "restricted'):
        node.kubectl("--namespace=strict", "run", "lax", "--image=nowhere")
    node.kubectl("delete", "namespace", "strict")


def test_the_images_are_built_and_loaded(images: None) -> None:
    """What the fixture does: here so that its time is seen."""
