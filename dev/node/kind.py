"""A node by kind and docker, with the interface of node.Node, for machines that have them."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dev.node.node import NodeError


class KindNode:
    """A cluster of kind, which pulls its own image; it lives as long as the context. Raises NodeError."""

    def __init__(self, kubectl: Path, helm: Path) -> None:
        self._kubectl = kubectl
        self._helm = helm
        self._name = f"workflow-operator-{secrets.token_hex(3)}"
        self.data = Path(tempfile.gettempdir())

    def __enter__(self) -> Self:
        self.data = Path(tempfile.mkdtemp(prefix=self._name))
        try:
            self._run(["kind", "create", "cluster", f"--name={self._name}", "--wait=180s"])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(["kind", "delete", "cluster", f"--name={self._name}"])
        finally:
            shutil.rmtree(self.data)

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        """As Node.kubectl()."""
        return self._run([str(self._kubectl), *args], input)

    def helm(self, *args: str) -> str:
        """As Node.helm()."""
        return self._run([str(self._helm), *args])

    def load(self, archive: Path) -> None:
        """As Node.load()."""
        self._run(["kind", "load", "image-archive", str(archive), f"--name={self._name}"])

    def diagnosis(self) -> str:
        """Where kind has put the logs of its programs."""
        self._run(["kind", "export", "logs", str(self.data / "logs"), f"--name={self._name}"])
        return f"logs: {self.data / 'logs'}"

    def _run(self, command: Sequence[str], input: str | None = None) -> str:  # noqa: A002
        done = subprocess.run(
            command,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            check=False,
            # docker finds its daemon by the user's own environment.
            env={**os.environ, "KUBECONFIG": str(self.data / "kubeconfig"), "KUBERC": "off"},
        )
        if done.returncode:
            words = " ".join([Path(command[0]).name, *command[1:]])
            raise NodeError(f"{words} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout
