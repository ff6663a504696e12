"""What a sandbox costs: runs on a warm process, host calls, new processes, memory.

    python benchmarks/sandbox.py [--runs 300] [--calls 3000]

Every number is also given as a ratio to the time of an empty frame's round trip over the same kind of socket,
because that holds better from machine to machine than milliseconds do.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "operator"))

from workflow_operator.javascript.host import HostCall, Job, Limits, Returned, SandboxPool, Session
from workflow_operator.javascript.host.channel import Channel
from workflow_operator.javascript.worker.wire import frame, read_frame, write_all

EMPTY = "function main(input) { return input }"
LIMITS = Limits(wall_seconds=600, cpu_seconds=600)


async def run(session: Session, script: str) -> None:
    await session.begin(Job(script, None, '{"a":1}', "benchmark", 1, 1, LIMITS))
    while not isinstance(message := await session.next(), Returned):
        if isinstance(message, HostCall):
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
    ours.setblocking(False)

    def echo() -> None:
        while (body := read_frame(theirs.fileno())) is not None:
            write_all(theirs.fileno(), frame(body))

    thread = threading.Thread(target=echo)
    thread.start()
    channel = await Channel.open(ours)

    async def once() -> None:
        channel.send({})
        await channel.receive()

    each = await seconds_each(count, once)
    channel.close()
    await asyncio.to_thread(thread.join)
    theirs.close()
    return each


def memory(pid: int) -> dict[str, float]:
    """Resident and proportional megabytes: a sandbox shares most of its pages with the zygote."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    return {name: kilobytes[name] / 1024 for name in ("Rss", "Pss", "Private_Dirty")}


async def main(runs: int, calls: int) -> None:
    base = await round_trip(2000)
    print(f"{'round trip of an empty frame':44} {base * 1e6:9.0f} us")

    def show(what: str, each: float) -> None:
        print(f"{what:44} {each * 1e3:9.3f} ms {1 / each:9.0f}/s {each / base:8.1f} round trips")

    pool = SandboxPool(size=2, idle=0)
    await pool.start()
    async with pool.session("a") as session:
        show("run on a warm process, fresh isolate", await seconds_each(runs, lambda: run(session, EMPTY)))
        script = f"function main() {{ for (let i = 0; i < {calls}; i++) finish(i) }}"
        show("host call", await seconds_each(1, lambda: run(session, script)) / calls)
        script = (
            f"function main() {{ const v = 'x'.repeat(100000); for (let i = 0; i < {calls // 20}; i++) finish(v) }}"
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
    arguments = parser.parse_args()
    asyncio.run(main(arguments.runs, arguments.calls))
