"""Whole runs through the engine: history, queue, sandbox, projection, without Kubernetes.

Prints how many runs a second pass from `started` to a projected terminal status, and the ratio to the appends a second
that one connection makes on the same server in the same minute: the ratio holds on noisy machines, the rates do not.

    python -m benchmarks.engine [RUNS]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.history import EventType, InstanceKey
from workflow_operator.jetstream import EmbeddedServer

NAMESPACE = "bench"
SCRIPTS = {
    "one state": "function main(i) { return i; }",
    "five transitions": """
        function main(i) { return transition(a, i); }
        function a(i) { return transition(b, i); }
        function b(i) { return transition(c, i); }
        function c(i) { return transition(d, i); }
        function d(i) { return transition(e, i); }
        function e(i) { return i; }""",
}


async def appends_per_second(transport: roles.Transport, count: int) -> float:
    """Sequential appends to one history."""
    writer = roles.event_writer()
    key = InstanceKey(NAMESPACE, uuid.uuid4())
    last = (await transport.bus.push_instance_event(writer.event(key, EventType.STARTED, script="x"), 0)).sequence
    begun = time.perf_counter()
    for number in range(count):
        event = writer.event(key, EventType.TRANSITION, memory={"n": number})
        last = (await transport.bus.push_instance_event(event, last)).sequence
    return count / (time.perf_counter() - begun)


async def runs_per_second(transport: roles.Transport, settings: Settings, script: str, count: int) -> float:
    """From the first execute() to the last projected end."""
    runner = roles.workflow_runner(transport, settings.engine_limits())
    begun = time.perf_counter()
    ids = await asyncio.gather(*(runner.execute(NAMESPACE, script, None, number) for number in range(count)))
    keys = [InstanceKey(NAMESPACE, instance_id) for instance_id in ids]
    while True:
        statuses = await transport.bus.query_statuses(keys)
        if len(statuses) == count and all(status.terminal for status in statuses.values()):
            break
        await asyncio.sleep(0.05)
    assert {status.status for status in statuses.values()} == {"complete"}
    return count / (time.perf_counter() - begun)


@asynccontextmanager
async def installation(**given: Any) -> AsyncIterator[tuple[roles.Transport, Settings]]:
    """A server, an executor and a projector in this process; `given` are settings."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder), sync_always=False)
        await server.start()
        settings = Settings(nats_url=server.url, **given)
        async with (
            roles.transport(settings, "bench") as transport,
            roles.executor(transport, settings, lambda *_: None) as executor,
            roles.membership(transport, settings, "projectors") as members,
        ):
            parts = [executor.run(), transport.queue.run(), roles.projector(transport, members).start()]
            tasks = [asyncio.create_task(part) for part in parts]
            await runs_per_second(transport, settings, SCRIPTS["one state"], 20)  # warm up
            yield transport, settings
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await server.stop()


async def main(count: int) -> None:
    async with installation() as (transport, settings):
        for name, script in SCRIPTS.items():
            appends = await appends_per_second(transport, 1000)
            rate = await runs_per_second(transport, settings, script, count)
            print(f"{name:18} {rate:7.1f} runs/s   appends/s {appends:7.0f}   ratio {rate / appends:.4f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
