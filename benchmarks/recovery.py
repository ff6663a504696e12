"""How long runs stand still when the replica that executes them is killed, until another one goes on with them.

Three replicas on one NATS. The first one executes RUNS runs, either where it started them or from the queue, and is
killed with SIGKILL at any moment of the two seconds between its signs of life. Each run counts from then until the
claim of another replica is stored. The figures are bounds of waiting, not of work: they hold on a busy machine too,
as long as it can renew a key in time.

    python -m benchmarks.recovery [--runs 8] [--rounds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import nats
from nats.aio.msg import Msg

from benchmarks.measure import Figures, quantile, show, store
from dev import replica
from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.history import EventType, InstanceKey, decode_commit
from workflow_operator.jetstream import EmbeddedServer

# Every second a step is recorded, so that a status always says who executes it.
SCRIPT = "function main() { for (let n = 0; n < 90; n++) { transition(step, n); sleep(1); } } function step() {}"
RENEWED_SECONDS = 2.0


class Replica:
    """One process; it dies with this one."""

    def __init__(self, name: str, url: str, folder: Path) -> None:
        with (folder / f"{name}.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, replica.__file__],
                stdin=subprocess.PIPE,
                stderr=log,
                env={
                    **os.environ,
                    "WORKFLOW_OPERATOR_NATS_URL": url,
                    "WORKFLOW_OPERATOR_IDENTITY": name,
                    "WORKFLOW_OPERATOR_NAMESPACE_SLOTS_SHARE": "1",
                    "WORKFLOW_OPERATOR_SLICE_SECONDS": "3600",
                },
            )

    def start(self, key: InstanceKey) -> None:
        run = {"namespace": key.namespace, "id": str(key.instance_id), "script": SCRIPT}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(run).encode() + b"\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Watch:
    """When which executor's events were stored, as NATS tells everybody."""

    def __init__(self) -> None:
        self.drivers: dict[InstanceKey, str] = {}
        self.claimed: dict[InstanceKey, float] = {}
        self.ended: set[InstanceKey] = set()
        self.changed = asyncio.Event()

    async def take(self, message: Msg) -> None:
        key = InstanceKey.of_subject(message.subject)
        for event in decode_commit(message.data, key=key):
            if event.executor is not None:
                self.drivers[key] = event.executor.id
            if event.type is EventType.CLAIMED:
                self.claimed.setdefault(key, time.monotonic())
            if event.terminal:
                self.ended.add(key)
        self.changed.set()

    async def until(self, keys: list[InstanceKey], found: dict[InstanceKey, str] | dict[InstanceKey, float]) -> None:
        async with asyncio.timeout(60):
            while not all(key in found for key in keys):
                self.changed.clear()
                await self.changed.wait()


async def recovered(folder: Path, runs: int, *, queued: bool) -> list[float]:
    """Seconds that each run stood still."""
    server = EmbeddedServer(folder / "nats", sync_always=False)
    await server.start()
    settings, watch = Settings(nats_url=server.url), Watch()
    try:
        async with AsyncExitStack() as stack, roles.transport(settings, "bench") as transport:
            client = await nats.connect(server.url)
            stack.push_async_callback(client.close)
            await client.subscribe("instances.history.>", cb=watch.take)
            keys = [InstanceKey("bench", uuid4()) for _ in range(runs)]
            victim = Replica("victim", server.url, folder)
            stack.callback(victim.kill)
            if queued:
                runner = roles.workflow_runner(transport, settings.engine_limits())
                await asyncio.gather(
                    *(runner.execute(key.namespace, SCRIPT, instance_id=key.instance_id) for key in keys)
                )
            else:
                for key in keys:
                    victim.start(key)
            await watch.until(keys, watch.drivers)
            others = [Replica(f"other-{number}", server.url, folder) for number in range(2)]
            for each in others:
                stack.callback(each.kill)
            # Until they are there, and at any moment between two signs of life.
            await asyncio.sleep(6 + random.uniform(0, RENEWED_SECONDS))
            assert set(watch.drivers.values()) == {"victim"}, watch.drivers
            watch.claimed.clear()
            killed = time.monotonic()
            victim.kill()
            await watch.until(keys, watch.claimed)
            return [watch.claimed[key] - killed for key in keys]
    finally:
        await server.stop()


async def main(runs: int, rounds: int) -> None:
    figures: dict[str, Figures] = {}
    for name, queued in (("where they started", False), ("from the queue", True)):
        seconds: list[float] = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                seconds += await recovered(Path(folder), runs, queued=queued)
        figures[name] = {"p50 s": quantile(seconds, 0.5), "p99 s": quantile(seconds, 0.99), "most s": max(seconds)}
    show(
        f"Runs of a replica that is killed, until another one has claimed them ({runs} runs, {rounds} rounds)", figures
    )
    store("recovery", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8, help="runs that the replica executes as it is killed")
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    asyncio.run(main(given.runs, given.rounds))
