"""Simulate: ``python -m tests.simulation [FIRST_SEED [COUNT]]``. Prints what happened in the first seed that fails."""

from __future__ import annotations

import asyncio
import sys
import time

from tests.simulation.run import Simulation


def main() -> None:
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    begun = time.monotonic()
    for seed in range(first, first + count):
        simulation = Simulation(seed)
        try:
            asyncio.run(simulation.run())
        except AssertionError as error:
            sys.exit(f"seed {seed}: {error}")
    if count == 1:
        print("\n".join(simulation.trace))
    print(f"{count} seeds from {first} in {time.monotonic() - begun:.1f} s")


main()
