"""How long a run takes to go on behind a long history: read it, run the script again from its top, answer every call.

A script makes N transitions, then sleeps and is parked. What is measured is the time from when the sleep is over to
the projected end, less the same of a script without transitions.

    python -m benchmarks.replay [--events 1000 50000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
import uuid

from benchmarks.engine import NAMESPACE, Engine, installation
from benchmarks.measure import Figures, show, store
from workflow_operator.history import EventType, InstanceKey

SCRIPT = """
function main(n) { for (let i = 0; i < n; i++) transition(step, i); sleep(2); return n; }
function step(i) { return i; }"""


async def gone_on(engine: Engine, events: int) -> tuple[float, float]:
    """Seconds from the end of the sleep to the projected end of the run, and seconds of processor time for it."""
    instance = uuid.uuid4()
    key = InstanceKey(NAMESPACE, instance)
    waiting = asyncio.create_task(engine.complete(SCRIPT, events, instance))
    fires = None
    while fires is None:
        await asyncio.sleep(0.05)
        history = await engine.transport.bus.query_history(key)
        fires = next((event.fire_at for event in history if event.type is EventType.TIMER_STARTED), None)
    await asyncio.sleep(max(0.0, fires.timestamp() - time.time() - 0.1))
    before = engine.spent()
    await waiting
    seconds = time.time() - fires.timestamp()
    spent = engine.spent()
    return seconds, spent["engine"] + spent["sandboxes"] - before["engine"] - before["sandboxes"]


async def main(sizes: list[int], rounds: int) -> None:
    found: dict[str, Figures] = {}
    async with installation(park_after_seconds=0.0) as engine:
        for size in sizes:
            pairs = [(await gone_on(engine, 0), await gone_on(engine, size)) for _ in range(rounds)]
            found[f"{size} events"] = {
                "ms": statistics.median(long[0] - short[0] for short, long in pairs) * 1000,
                "ms CPU": statistics.median(long[1] - short[1] for short, long in pairs) * 1000,
            }
    show("to go on behind a history, beyond what a short one takes", found)
    print(f"\nwritten to {store('replay', found)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[1000, 50_000])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    asyncio.run(main(given.events, given.rounds))
