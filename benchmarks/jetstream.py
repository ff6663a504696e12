"""How fast the transport is on this machine: ``python benchmarks/jetstream.py``. Only the ratios travel."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from workflow_operator.history import EventType, InstanceEvent, InstanceKey, fold
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.projection import ProjectionFeed
from workflow_operator.jetstream.queue import JetStreamWorkQueue
from workflow_operator.jetstream.streams.topology import ensure

COUNT = 5_000
WORKERS = 64


def event(key: InstanceKey, kind: EventType = EventType.STARTED) -> InstanceEvent:
    return InstanceEvent(
        version=1,
        event_id=uuid4(),
        instance_id=key.instance_id,
        namespace=key.namespace,
        type=kind,
        time=datetime.now(UTC),
        result="x" * 100,
    )


def new_key() -> InstanceKey:
    return InstanceKey("default", uuid4())


async def measure(what: str, count: int, work: Awaitable[object], base: float | None = None) -> float:
    start = time.perf_counter()
    await work
    rate = count / (time.perf_counter() - start)
    print(f"{what:42} {rate:10,.0f}/s" + (f"  {rate / base:6.1f} x" if base else ""))
    return rate


async def append_run(bus: JetStreamDataBus, key: InstanceKey, count: int) -> None:
    last = 0
    for number in range(count):
        kind = EventType.TRANSITION if number else EventType.STARTED
        last = (await bus.push_instance_event(event(key, kind), last)).sequence


async def read_all(bus: JetStreamDataBus, keys: list[InstanceKey]) -> None:
    for key in keys:
        await bus.query_history(key)


async def drain(feed: ProjectionFeed, partition: int, left: list[int]) -> None:
    while left[0] > 0:
        taken = await feed.pull(partition, 0.5)
        left[0] -= len(taken)
        for each in taken:
            await each.ack()


async def cycle(queue: JetStreamWorkQueue, count: int) -> None:
    await asyncio.gather(*(queue.enqueue(new_key()) for _ in range(count)))
    done = 0
    while done < count:
        taken = await queue.pull(WORKERS, 1.0, lambda _: True)
        await asyncio.gather(*(each.ack() for each in taken))
        done += len(taken)


async def run(server: EmbeddedServer) -> None:
    connection = await Connection.open(ConnectionOptions(servers=(server.url,), name="benchmark"))
    await ensure(connection)
    bus, queue, feed = JetStreamDataBus(connection), JetStreamWorkQueue(connection), ProjectionFeed(connection)
    keys = [new_key() for _ in range(WORKERS)]

    base = await measure("append, one after another", COUNT // 5, append_run(bus, new_key(), COUNT // 5))
    runs = asyncio.gather(*(append_run(bus, key, COUNT // WORKERS) for key in keys))
    await measure(f"append, {WORKERS} instances at once", COUNT // WORKERS * WORKERS, runs, base)
    await measure(f"history of {COUNT // WORKERS} events, read", WORKERS, read_all(bus, keys), base)
    statuses = [fold(None, event(new_key())) for _ in range(COUNT)]
    await measure("status, written 5000 at once", COUNT, asyncio.gather(*map(bus.write_status, statuses)), base)
    wanted = [each.key for each in statuses[:1000]]
    await measure("status, read by 1000 keys", 1000, bus.query_statuses(wanted), base)
    await measure("status, listed", COUNT, bus.query_instance_status(), base)
    left = [COUNT // 5 + COUNT // WORKERS * WORKERS]
    pulls = asyncio.gather(*(drain(feed, number, left) for number in range(feed.partitions)))
    await measure("event, pulled by partition and acked", left[0], pulls, base)
    await measure("instance, queued, pulled and acked", 1000, cycle(queue, 1000), base)
    await connection.close()


async def main() -> None:
    for always in (False, True):
        print(f"\nsync_always={always}")
        with tempfile.TemporaryDirectory() as directory:
            server = EmbeddedServer(Path(directory), sync_always=always)
            await server.start()
            try:
                await run(server)
            finally:
                server.kill()


if __name__ == "__main__":
    asyncio.run(main())
