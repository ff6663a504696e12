"""Whole runs through the engine without Kubernetes: history, sandbox, projection, from execute() to the status.

This process submits and drives, as an operator does; NATS and one projector are processes of their own. The ends are
told by the statuses as they are written. Kinds alternate, 32 at once and then one after another; medians.

    python -m benchmarks.engine [--runs 300] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.follow import Statuses
from benchmarks.measure import (
    Figures,
    child_named,
    children_seconds,
    medians,
    nats_traffic,
    own_seconds,
    quantile,
    show,
    store,
)
from benchmarks.scripts import FIB, FIFTY, FIVE, ONE, SCRIPTS, STEPS
from dev.control_plane import free_ports
from dev.stack import Process
from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.engine import Executor
from workflow_operator.jetstream import EmbeddedServer

AT_ONCE = 32
NAMESPACE = "bench"
KINDS = {ONE: 1.0, FIVE: 2 / 3, FIFTY: 1 / 5, STEPS: 1 / 10, FIB: 1 / 3}
"""What part of --runs a round takes of each kind."""
SETTLE_SECONDS = 0.3


class Engine:
    """What submits and drives in this process, beside NATS and a projector."""

    def __init__(
        self, transport: roles.Transport, settings: Settings, executor: Executor, monitor: str, projector: Process
    ) -> None:
        self.transport = transport
        self.nats_pid = child_named("nats-server")
        self.projector_pid = projector.pid
        self._runner = roles.workflow_runner(transport, settings.engine_limits(), executor)
        self._monitor = monitor
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self.statuses = Statuses(settings.nats_url, partial(self._loop.call_soon_threadsafe, self._end))

    async def complete(self, script: str, argument: Any = 1, instance: uuid.UUID | None = None) -> float:
        """Start an instance, as an operator does for an object that appears, and wait for its status: seconds."""
        instance = instance or uuid.uuid4()
        ended = self._waiting[str(instance)] = self._loop.create_future()
        begun = time.perf_counter()
        await self._runner.execute(NAMESPACE, script, None, argument, instance_id=instance, first=True)
        async with asyncio.timeout(300):
            await ended
        assert not self.statuses.failures, self.statuses.failures[0]
        return time.perf_counter() - begun

    async def load(self, script: str, count: int, at_once: int = AT_ONCE) -> Figures:
        """`count` runs, so many at once: what each cost, in milliseconds of processor time and messages."""
        traffic, before, written = nats_traffic(self._monitor), self.spent(), self.statuses.written
        begun = time.perf_counter()
        left = iter(range(count))

        async def work() -> None:
            for _ in left:
                await self.complete(script)

        await asyncio.gather(*(work() for _ in range(at_once)))
        seconds = time.perf_counter() - begun
        await asyncio.sleep(SETTLE_SECONDS)
        spent = {name: (value - before[name]) / count * 1000 for name, value in self.spent().items()}
        moved = {name: (value - traffic[name]) / count for name, value in nats_traffic(self._monitor).items()}
        statuses = (self.statuses.written - written) / count
        return {"runs/s": count / seconds, "cpu": sum(spent.values()), **spent, **moved, "statuses": statuses}

    def spent(self) -> Counter[str]:
        """Seconds of processor time so far, by process."""
        nats, projector = own_seconds(self.nats_pid), own_seconds(self.projector_pid)
        return Counter(
            engine=time.process_time() - self.statuses.seconds,
            nats=nats,
            projector=projector,
            sandboxes=children_seconds(os.getpid()) - nats - projector,
        )

    def _end(self, instance: str) -> None:
        if (waiting := self._waiting.pop(instance, None)) and not waiting.done():
            waiting.set_result(None)


@asynccontextmanager
async def installation(**given: Any) -> AsyncIterator[Engine]:
    """A server, a projector, and an executor in this process, warmed up; `given` are settings."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="workflow-operator-bench-")))
        (port,) = free_ports(1)
        server = EmbeddedServer(folder, sync_always=False, config=f"http: 127.0.0.1:{port}")
        await server.start()
        stack.push_async_callback(server.stop)
        settings = Settings(nats_url=server.url, **given)
        transport = await stack.enter_async_context(roles.transport(settings, "bench"))
        executor = await stack.enter_async_context(roles.executor(transport, settings, lambda *_: None))
        tasks = [asyncio.create_task(part) for part in (executor.run(), transport.queue.run())]
        stack.push_async_callback(ended, tasks)
        projector = await started_projector(folder, server.url)
        stack.callback(projector.stop)
        engine = Engine(transport, settings, executor, f"http://127.0.0.1:{port}", projector)
        stack.callback(engine.statuses.close)
        await engine.load(SCRIPTS[ONE], 2 * AT_ONCE)
        yield engine


async def started_projector(folder: Path, nats: str, number: int = 1) -> Process:
    """A projector as a process, once it is ready."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "WORKFLOW_OPERATOR_NATS_URL": nats}
    projector = Process("projector", folder / f"projector-{number}.log", env)
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(projector.ready):
            assert projector.exit_code is None, projector.tail()
            await asyncio.sleep(0.1)
    return projector


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def measured(runs: int, rounds: int, alone: int) -> tuple[dict[str, Figures], Figures]:
    load: dict[str, list[Figures]] = {kind: [] for kind in KINDS}
    times: list[float] = []
    async with installation() as engine:
        for number in range(rounds):
            for kind, results in load.items():
                results.append(await engine.load(SCRIPTS[kind], max(AT_ONCE, int(runs * KINDS[kind]))))
                results[-1]["ratio to one"] = results[-1]["runs/s"] / load[ONE][-1]["runs/s"]
                print(f"round {number + 1}: {kind:18} {results[-1]['runs/s']:6.1f}/s", file=sys.stderr)
            times += [await engine.complete(SCRIPTS[ONE]) for _ in range(alone)]
    latency = {"p50 ms": statistics.median(times) * 1000, "p99 ms": quantile(times, 0.99) * 1000}
    return {kind: medians(results) for kind, results in load.items()}, latency


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300, help="runs of one state in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", type=int, default=100, help="runs one after another in a round")
    parser.add_argument("--name", default="engine", help="of the file with the results")
    given = parser.parse_args()
    figures, latency = asyncio.run(measured(given.runs, given.rounds, given.alone))
    show("32 at once; processor time in ms a run, messages and bytes of NATS a run", figures)
    show("alone, one after another: submit to status", {ONE: latency})
    print(f"\nwritten to {store(given.name, {'load': figures, 'alone': latency})}")


if __name__ == "__main__":
    main()
