"""The projector alone: how many events a second it folds, and what a run costs it and NATS.

    python -m benchmarks.projector [RUNS]

Runs have six events. A backlog of them, stored one by one or as one commit each, is folded by 1, 2 and 4 projectors in
processes of their own, each with its share of the partitions. Then runs come one after another, to a projector that
waits for the next.

Told are events a second; for each run milliseconds of processor time of the projectors and of NATS, and the messages
that projectors have sent to NATS. What NATS takes for the appends is in it where runs come one by one. What a projector
takes that has nothing to do is told for each second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop

from benchmarks.measure import Figures, child_named, medians, own_seconds, show, store
from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.engine.clock import SystemClock
from workflow_operator.history import EventType, InstanceEvent, InstanceKey
from workflow_operator.jetstream import EmbeddedServer
from workflow_operator.jetstream.projection import ProjectionFeed
from workflow_operator.jetstream.streams.topology import PROJECTION
from workflow_operator.projector import Projector

NAMESPACE = "bench"
STEPS = [EventType.STARTED, *[EventType.TRANSITION] * 4, EventType.SUCCEEDED]
ROUNDS = 3
AT_ONCE = 200
BETWEEN_SECONDS = 0.01
IDLE_SECONDS = 20


def life(key: InstanceKey) -> list[InstanceEvent]:
    """Six events of a run, as an executor writes them."""
    writer = roles.event_writer()
    given: dict[EventType, dict[str, Any]] = {
        EventType.STARTED: {"script": "function main(i) { return i; }" * 10, "input": {"n": 1}},
        EventType.TRANSITION: {"function": "next", "memory": {"n": 1, "name": "Ann"}},
        EventType.SUCCEEDED: {"output": 1},
    }
    return [writer.event(key, kind, **given[kind]) for kind in STEPS]


async def write(transport: roles.Transport, runs: int, *, together: bool) -> None:
    """The histories of so many runs."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with free:
            events = life(InstanceKey(NAMESPACE, uuid4()))
            last = 0
            for commit in [events] if together else [[event] for event in events]:
                last = (await transport.bus.append(commit, last))[-1].sequence

    await asyncio.gather(*(one() for _ in range(runs)))


# --- a projector in a process of its own -----------------------------------------------------------------------------


class Share:
    """Of ``replicas`` projectors that of one, once it is open."""

    def __init__(self, number: int, replicas: int) -> None:
        self._number, self._replicas = number, replicas
        self.open = False

    def owns(self, key: str) -> bool:
        return self.open and int(key.rpartition("-")[2]) % self._replicas == self._number

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds if self.open else min(seconds, 0.01))


class Feed(ProjectionFeed):
    """What is to be folded, and nothing that was missed."""

    async def tails(self) -> AsyncIterator[InstanceKey]:
        for key in ():
            yield key


async def fold(url: str, number: int, replicas: int) -> None:
    """Say that it is ready, project from one line of input to the next, and tell what that took."""
    line = asyncio.get_running_loop().run_in_executor
    async with roles.transport(Settings(nats_url=url), "bench", prepare=None) as transport:
        share = Share(number, replicas)
        projector = Projector(transport.bus, Feed(transport.connection), share, share.sleep, SystemClock().now)
        projecting = asyncio.create_task(projector.start())
        traffic = transport.connection._client.stats
        print("ready", flush=True)
        await line(None, sys.stdin.readline)
        share.open, before, begun = True, traffic["out_msgs"], time.process_time()
        await line(None, sys.stdin.readline)
        told = {"sent": traffic["out_msgs"] - before, "seconds": time.process_time() - begun}
        print(json.dumps(told), flush=True)
        projecting.cancel()
        await asyncio.gather(projecting, return_exceptions=True)


class Projectors:
    """Processes that fold, each its share."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process]) -> None:
        self._processes = processes
        self._nats = child_named("nats-server")
        self._before = 0.0

    @classmethod
    @asynccontextmanager
    async def ready(cls, url: str, replicas: int) -> AsyncIterator[Projectors]:
        command = [sys.executable, "-m", "benchmarks.projector", "--fold", url]
        pipe = asyncio.subprocess.PIPE
        started = [
            await asyncio.create_subprocess_exec(*command, str(number), str(replicas), stdin=pipe, stdout=pipe)
            for number in range(replicas)
        ]
        self = cls(started)
        try:
            assert await self._lines() == [b"ready\n"] * replicas
            yield self
        finally:
            for process in started:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _lines(self) -> list[bytes]:
        return [await process.stdout.readline() for process in self._processes if process.stdout is not None]

    def begin(self) -> None:
        self._before = own_seconds(self._nats)
        self._say()

    async def end(self, runs: int) -> Figures:
        """What they and NATS have taken since they began, for each run."""
        nats = own_seconds(self._nats) - self._before
        self._say()
        told = Counter[str]()
        for line in await self._lines():
            told.update(json.loads(line))
        return {
            "projector ms": 1000 * told["seconds"] / runs,
            "NATS ms": 1000 * nats / runs,
            "sent": told["sent"] / runs,
        }

    def _say(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")


# --- measuring -------------------------------------------------------------------------------------------------------


async def until_folded(transport: roles.Transport) -> None:
    while True:
        info = await transport.connection.api(f"STREAM.INFO.{PROJECTION}", {})
        if not info["state"]["messages"]:
            return
        await asyncio.sleep(0.02)


async def backlog(transport: roles.Transport, url: str, runs: int, replicas: int, *, together: bool) -> Figures:
    """Of runs that wait when the projectors begin."""
    async with Projectors.ready(url, replicas) as projectors:
        await write(transport, runs, together=together)
        begun = time.perf_counter()
        projectors.begin()
        await until_folded(transport)
        seconds = time.perf_counter() - begun
        return {"events/s": len(STEPS) * runs / seconds} | await projectors.end(runs)


async def one_by_one(transport: roles.Transport, url: str, runs: int, *, together: bool) -> Figures:
    """Of runs that come to a projector that waits for them."""
    async with Projectors.ready(url, 1) as projectors:
        projectors.begin()
        await asyncio.sleep(1)
        for _ in range(runs):
            await write(transport, 1, together=together)
            await asyncio.sleep(BETWEEN_SECONDS)
        await until_folded(transport)
        return await projectors.end(runs)


async def idle(url: str) -> Figures:
    async with Projectors.ready(url, 1) as projectors:
        projectors.begin()
        await asyncio.sleep(IDLE_SECONDS)
        return await projectors.end(IDLE_SECONDS)


async def one_round(runs: int) -> dict[str, Figures]:
    rows: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder), sync_always=False)
        await server.start()
        try:
            async with roles.transport(Settings(nats_url=server.url), "bench") as transport:
                rows["idle, a second"] = await idle(server.url)
                for together, what in ((False, "single events"), (True, "commits of six")):
                    for replicas in (1, 2, 4):
                        given = backlog(transport, server.url, runs, replicas, together=together)
                        rows[f"{what}, {replicas}"] = await given
                    few = min(runs, 300)
                    rows[f"{what}, one by one"] = await one_by_one(transport, server.url, few, together=together)
        finally:
            server.kill()
    return rows


async def main(runs: int) -> None:
    rounds = [await one_round(runs) for _ in range(ROUNDS)]
    rows = {name: medians([each[name] for each in rounds]) for name in rounds[0]}
    show(f"{runs} runs of {len(STEPS)} events, a run (medians of {ROUNDS})", rows)
    print(f"written to {store('projector', rows)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fold"]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(fold(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    else:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000))
