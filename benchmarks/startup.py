"""What it costs to begin: `--help`, and a local run of examples/hello.yaml with its NATS and its sandbox.

Processor time of the command and of all that it starts; least and median of several, because a busy machine only adds.

    python -m benchmarks.startup [--rounds 7] [--program OTHER_CHECKOUT/.venv/bin/workflow-operator]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Figures, show, store
from dev.stack import PROJECT

COMMANDS = {"--help": ["--help"], "local hello": ["run", str(PROJECT / "examples" / "hello.yaml")]}


def once(command: list[str]) -> tuple[float, float]:
    """Seconds of processor time, of everything that the command waited for, and of wall time."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as state:
        env = {**os.environ, "XDG_STATE_HOME": state}
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - begun


def main(program: Path, rounds: int, name: str) -> None:
    found: dict[str, Figures] = {}
    for what, words in COMMANDS.items():
        times = [once([str(program), *words]) for _ in range(rounds)]
        found[what] = {
            "least s CPU": min(cpu for cpu, _ in times),
            "median s CPU": statistics.median(cpu for cpu, _ in times),
            "median s": statistics.median(wall for _, wall in times),
        }
    show("to begin", found)
    print(f"\nwritten to {store(name, found)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--program", type=Path, default=Path(sys.executable).with_name("workflow-operator"))
    parser.add_argument("--name", default="startup", help="of the file with the results")
    given = parser.parse_args()
    main(given.program, given.rounds, given.name)
