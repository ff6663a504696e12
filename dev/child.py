"""A server started as a child process that writes a log file and cannot outlive its parent."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO


class Child:
    """One running program: of the control plane binary, or dev/leashed.py.

    Such a program ends when its standard input does, so it dies with this process on every system, kill -9
    included. A fork of this process that never execs would keep that pipe, and so the program, alive.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        output: IO[bytes]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Nothing of the user's: etcd takes every ETCD_* variable for a flag, and a proxy would be used.
                env=env or {},
                # Ctrl-C in a terminal is for the parent, which stops its children in order.
                process_group=0,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N when signal N ended it."""
        return self._process.poll()

    def terminate(self) -> None:
        """SIGTERM, without waiting; does nothing when it has ended."""
        self._process.terminate()

    def wait(self, timeout: float) -> int:
        """Wait for the end and return the exit code. Raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout)

    def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds; does nothing when it has ended."""
        self._process.terminate()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._process.kill()
        self._reap()

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _reap(self) -> None:
        self._process.wait()
        assert self._process.stdin
        self._process.stdin.close()
