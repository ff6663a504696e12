"""The commands, as a user starts them, in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import yaml

from tests.fixtures.workflowruns import manifest

COMMAND = Path(sysconfig.get_path("scripts")) / "workflow-operator"


def clean() -> dict[str, str]:
    """Nothing of the user's settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WORKFLOW_OPERATOR_")}


class Shell:
    """Runs the command in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []
        self.env = {**clean(), "XDG_STATE_HOME": str(folder / "state")}

    def file(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return name

    @property
    def runs(self) -> Path:
        return self.folder / "state" / "workflow-operator" / "runs"

    def manifest(self, name: str, **spec: Any) -> str:
        return self.file(f"{name}.yaml", yaml.safe_dump(manifest(name, spec)))

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [COMMAND, *words],
            cwd=self.folder,
            env=self.env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            process.kill()

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        """(standard output, standard error), where the exit code is the expected one."""
        process = self.start(*words)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == code, f"exit code {process.returncode}, expected {code}: {errors}"
        return output, errors
