"""What holds a program to the life of its parent: the end of a pipe, which the kernel closes however that ends."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.go_build import LEASH
from dev.stack import LEASHED

DEADLINE = 20.0


def test_a_command_and_what_it_started_end_when_the_leash_does(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"sleep 300 & echo $! > {pid_file}.new; mv {pid_file}.new {pid_file}; wait"
    with subprocess.Popen([sys.executable, "-P", LEASH, "sh", "-c", script], stdin=subprocess.PIPE) as leash:
        wait_for(pid_file.exists)
        grandchild = int(pid_file.read_text())
        assert leash.stdin
        leash.stdin.close()
        wait_for(lambda: not runs(grandchild))
        assert leash.wait(DEADLINE) != 0


def test_a_leashed_command_gives_its_exit_code() -> None:
    command = [sys.executable, "-P", LEASH, "sh", "-c", "exit 3"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as held:
        assert held.wait(DEADLINE) == 3


@pytest.mark.integration
def test_a_replica_ends_when_its_parent_does(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "WORKFLOW_OPERATOR_NATS_URL": "nats://127.0.0.1:1"}
    command = [sys.executable, "-P", LEASHED, "projector"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as replica:
        with pytest.raises(subprocess.TimeoutExpired):
            replica.wait(1)
        assert replica.stdin
        replica.stdin.close()
        assert replica.wait(DEADLINE) == -9


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def runs(pid: int) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")
