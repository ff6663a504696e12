"""Which node this machine can have."""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from dev import image, tools
from dev.go_build import Progress
from dev.node import packages
from dev.node.kind import KindNode
from dev.node.node import Node


class Cluster(Protocol):
    """What both kinds of node do, as a context manager; every method raises NodeError."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def kubectl(self, *args: str, input: str | None = None) -> str: ...  # noqa: A002
    def helm(self, *args: str) -> str: ...
    def load(self, archive: Path) -> None: ...
    def diagnosis(self) -> str: ...


def choose(progress: Progress) -> Cluster:
    """The node to enter: one of our own for root on Linux, else one by kind where it is.

    Installs and builds what it needs. Raises MissingError where neither can be, BuildError when a build fails.
    """
    if may_make_namespaces():
        packages.ensure(progress)
        return Node(tools.control_plane(progress), tools.node_programs(progress), tools.kubectl(), tools.helm(progress))
    if shutil.which("kind") and image.running_docker():
        return KindNode(tools.kubectl(), tools.helm(progress))
    raise packages.MissingError(
        "a node needs root on Linux, with the right to make namespaces, or docker and kind; "
        f"here is {platform.system()}, user {os.geteuid()}, without a running docker or without kind"
    )


def may_make_namespaces() -> bool:
    """Whether this is root, and not merely that of a container."""
    if platform.system() != "Linux" or os.geteuid():
        return False
    attempt = ["unshare", "--net", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "node", "/run"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0
