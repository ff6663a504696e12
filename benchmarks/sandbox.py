"""What a sandbox costs: runs in a realm and in an isolate of their own, host calls, new processes, memory.

    python -m benchmarks.sandbox [--runs 300] [--calls 3000] [--rounds 5]

First the processor time of a run, by script and by what is made anew for it (settings.sandboxFresh), in turn: medians
of rounds of `--runs` runs each. Then single things in wall time, each also as a ratio to the time of an empty frame's
round trip over the same kind of socket, because that holds better from machine to machine than milliseconds do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "operator"))

from benchmarks.measure import Figures, medians, own_seconds, store
from benchmarks.measure import show as show_table
from benchmarks.scripts import FIB, FIVE, ONE, SCRIPTS
from workflow_operator.engine.calls import FORMS
from workflow_operator.javascript.host import HostCall, Job, Limits, Returned, SandboxPool, Session
from workflow_operator.javascript.host.channel import Channel
from workflow_operator.javascript.worker.outbox import Outbox
from workflow_operator.javascript.worker.vm.bridge import Fresh
from workflow_operator.javascript.worker.wire import frame, read_frame

EMPTY = "function main(input) { return input }"
LIMITS = Limits(wall_seconds=600, cpu_seconds=600)


async def run(session: Session, script: str) -> None:
    await session.begin(Job(script, None, '{"a":1}', "benchmark", 1, 1, LIMITS))
    while not isinstance(message := await session.next(), Returned):
        if isinstance(message, HostCall) and message.wants_answer:
            await session.answer(None, 1)


async def seconds_each(count: int, action: Callable[[], Awaitable[None]]) -> float:
    await action()
    started = time.perf_counter()
    for _ in range(count):
        await action()
    return (time.perf_counter() - started) / count


async def round_trip(count: int) -> float:
    """An asyncio side and a blocking thread, as an executor and a sandbox are."""
    ours, theirs = socket.socketpair()
    bell, ring = os.pipe()
    outbox = Outbox(theirs.fileno(), ring, time.monotonic)

    def echo() -> None:
        while (body := read_frame(theirs.fileno())) is not None:
            outbox.ask(body)

    thread = threading.Thread(target=echo)
    thread.start()
    channel = Channel(ours, bell)

    async def once() -> None:
        channel.send(frame(b"{}"))
        await channel.receive()

    each = await seconds_each(count, once)
    channel.close()
    await asyncio.to_thread(thread.join)
    theirs.close()
    os.close(ring)
    return each


def memory(pid: int) -> dict[str, float]:
    """Resident and proportional megabytes: a sandbox shares most of its pages with the zygote."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    return {name: kilobytes[name] / 1024 for name in ("Rss", "Pss", "Private_Dirty")}


async def processor_time(runs: int, rounds: int) -> dict[str, Figures]:
    """Milliseconds a run, in the sandbox and in its executor, and megabytes that a used process has of its own."""
    pools = {fresh: SandboxPool(FORMS, size=1, idle=0, fresh=fresh) for fresh in get_args(Fresh)}
    seen: dict[str, list[Figures]] = {}
    for pool in pools.values():
        await pool.start()
    for _ in range(rounds):
        for name in (ONE, FIVE, FIB):
            for fresh, pool in pools.items():
                async with pool.session("a") as session:
                    await run(session, SCRIPTS[name])
                    assert session.pid is not None
                    ours, theirs = time.process_time(), own_seconds(session.pid)
                    for _ in range(runs):
                        await run(session, SCRIPTS[name])
                    spent = {"host ms": time.process_time() - ours, "sandbox ms": own_seconds(session.pid) - theirs}
                    figures = {what: seconds / runs * 1000 for what, seconds in spent.items()}
                    figures["own MB"] = memory(session.pid)["Private_Dirty"]
                    seen.setdefault(f"{name}, {fresh}", []).append(figures)
    for pool in pools.values():
        await pool.close()
    return {name: medians(figures) for name, figures in seen.items()}


async def main(runs: int, calls: int, rounds: int) -> None:
    table = await processor_time(runs, rounds)
    show_table(f"processor time of a run, medians of {rounds} x {runs}", table)
    store("sandbox", table)
    base = await round_trip(2000)
    print(f"{'round trip of an empty frame':44} {base * 1e6:9.0f} us")

    def show(what: str, each: float) -> None:
        print(f"{what:44} {each * 1e3:9.3f} ms {1 / each:9.0f}/s {each / base:8.1f} round trips")

    pool = SandboxPool(FORMS, size=2, idle=0)
    await pool.start()
    async with pool.session("a") as session:
        show("run on a warm process", await seconds_each(runs, lambda: run(session, EMPTY)))
        script = f"function f() {{}} function main() {{ for (let i = 0; i < {calls}; i++) transition(f, i) }}"
        show("host call", await seconds_each(1, lambda: run(session, script)) / calls)
        script = (
            f"function f() {{}} const v = 'x'.repeat(100000); "
            f"function main() {{ for (let i = 0; i < {calls // 20}; i++) transition(f, v) }}"
        )
        show("host call with 100 kB", await seconds_each(1, lambda: run(session, script)) / (calls // 20))
        assert session.pid is not None
        print("memory of a used process, MB:", {name: round(size, 1) for name, size in memory(session.pid).items()})
    namespaces = iter(range(10_000))

    async def new_process() -> None:
        async with pool.session(f"n{next(namespaces)}") as session:
            await run(session, EMPTY)

    show("run on a new process", await seconds_each(runs // 5, new_process))
    await pool.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.runs, arguments.calls, arguments.rounds))
