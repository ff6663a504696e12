"""A process that watches as an operator does, and says what it has seen and what memory that took."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from workflow_operator.handlers import Pulse, watch_runs
from workflow_operator.reconcile import ObjectStore


def peak_kib() -> int:
    # Not what getrusage says: that includes the process that this one was forked from.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


async def main(wanted: int) -> None:
    objects = ObjectStore()
    watching = asyncio.create_task(watch_runs(objects, pulse=Pulse(1, time.monotonic())))
    complete = asyncio.Event()
    objects.on_change(lambda _: complete.set() if len(list(objects)) >= wanted else None)
    waiting = asyncio.create_task(complete.wait())
    await asyncio.wait({watching, waiting}, return_when=asyncio.FIRST_COMPLETED)
    print(json.dumps({"seen": len(list(objects)), "peak_kib": peak_kib()}), flush=True)
    for task in (watching, waiting):
        task.cancel()


asyncio.run(main(int(sys.argv[1])))
