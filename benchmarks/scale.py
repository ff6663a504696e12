"""What finished and sleeping runs cost an operator: its memory, and what a run costs beside them.

The cost of a run (one state, 32 at once) is measured beside no finished runs, and that of the floor with it. Then the
operator is stopped, FINISHED ended runs are made, objects and histories as an operator would leave them, and it is
started again: both costs beside those. Then SLEEPING runs sleep, and its memory is read.

    python -m benchmarks.scale [--finished 10000] [--sleeping 1000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from benchmarks.cluster import AT_ONCE, FLOOR, NAMESPACE, RUNS, Installation, document, installation, prepare
from benchmarks.lean import PREFIX, Client
from benchmarks.measure import Figures, fetched, medians, resident_megabytes, show, store
from benchmarks.scripts import ONE, SCRIPTS
from dev import tools
from dev.control_plane import ControlPlane
from dev.stack import PROJECT, Stack
from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.history import InstanceEvent, InstanceKey

T, R = TypeVar("T"), TypeVar("R")
SLEEPER = "function main() { sleep(3600); }"
ROUNDS = 3
_UID = re.compile(rb'"uid":"([0-9a-f-]{36})"')


class Ended:
    """Makes ended runs after the example of one that was executed."""

    def __init__(self, made: Installation, nats: str) -> None:
        self._clients: SimpleQueue[Client] = SimpleQueue()
        for client in made.clients:
            self._clients.put(client)
        self._nats = nats
        self._run = json.loads(made.clients[0].call("GET", f"{RUNS}?limit=1"))["items"][0]

    def make(self, count: int) -> None:
        names = [f"{PREFIX}ended-{number}" for number in range(count)]
        created = self.each(lambda client, name: self._create(client, name), names)
        sequences = asyncio.run(self._histories([uuid.UUID(uid) for _, uid in created]))
        self.each(lambda client, each: self._end(client, *each), list(zip(names, created, sequences, strict=True)))

    def each(self, work: Callable[[Client, T], R], items: Iterable[T]) -> list[R]:
        """`work` for each item, over all connections at once."""

        def one(item: T) -> R:
            client = self._clients.get()
            try:
                return work(client, item)
            finally:
                self._clients.put(client)

        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(one, items))

    def _create(self, client: Client, name: str) -> tuple[bytes, str]:
        created = client.call("POST", RUNS, document("WorkflowRun", name, SCRIPTS[ONE]))
        found = _UID.search(created)
        assert found
        return created, found[1].decode()

    def _end(self, client: Client, name: str, created: tuple[bytes, str], sequence: int) -> None:
        body, uid = created
        status = self._run["status"] | {"instanceID": uid, "historySequence": sequence}
        whole = body.rstrip()[:-1] + b',"status":' + json.dumps(status).encode() + b"}"
        client.call("PUT", f"{RUNS}/{name}/status", whole)

    async def _histories(self, instances: list[uuid.UUID]) -> list[int]:
        """The sequence of each instance's last event."""
        sequences: dict[uuid.UUID, int] = {}
        async with roles.transport(Settings(nats_url=self._nats), "bench", prepare=None) as transport:
            example = await transport.bus.query_history(InstanceKey(NAMESPACE, uuid.UUID(self._run["metadata"]["uid"])))
            left = iter(instances)

            async def work() -> None:
                for instance in left:
                    events = [of_another(event, instance) for event in example]
                    sequences[instance] = (await transport.bus.append(events, 0))[-1].sequence

            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return [sequences[instance] for instance in instances]


def of_another(event: InstanceEvent, instance: uuid.UUID) -> InstanceEvent:
    return event.replace(instance_id=instance, event_id=uuid.uuid4(), sequence=0, previous=0, place=0)


def cost(made: Installation) -> Figures:
    """Medians of a run, and the `floor` of the same rounds: the API server's part of it grows with its memory."""
    pairs = [(made.load(FLOOR, 4 * AT_ONCE), made.load(ONE, 4 * AT_ONCE)) for _ in range(ROUNDS)]
    return medians([run for _, run in pairs]) | {"floor": medians([floor for floor, _ in pairs])["cpu"]}


def sleeping(made: Installation, ended: Ended, count: int) -> None:
    """Create sleepers, and wait until the timer of each is there."""
    names = [f"{PREFIX}asleep-{number}" for number in range(count)]
    ended.each(lambda client, name: client.call("POST", RUNS, document("WorkflowRun", name, SLEEPER)), names)
    end = time.monotonic() + 180
    while timers(made.monitor) < count:
        assert time.monotonic() < end, f"only {timers(made.monitor)} of {count} runs sleep after 180 s"
        time.sleep(0.2)


def timers(monitor: str) -> int:
    streams = fetched(f"{monitor}/jsz?streams=true")["account_details"][0]["stream_detail"]
    return next(int(stream["state"]["messages"]) for stream in streams if stream["name"] == "TIMERS")


def measured(made: Installation, stack: Stack, finished: int, asleep: int) -> dict[str, Figures]:
    found = {"0 finished": cost(made) | {"operator MB": resident_megabytes(stack.operators[0].pid)}}
    stack.operators.pop().stop()
    ended = Ended(made, stack.nats.url)
    ended.make(finished)
    operator = stack.add_operator()
    again = Installation(stack, made.monitor)
    again.warm_up()
    found[f"{finished} finished"] = cost(again) | {"operator MB": resident_megabytes(operator.pid)}
    sleeping(again, ended, asleep)
    found[f"and {asleep} asleep"] = {"operator MB": resident_megabytes(operator.pid)}
    return found


def main(finished: int, asleep: int) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="workflow-operator-bench-") as scratch,
        ControlPlane(tools.control_plane(), tools.kubectl(), Path(scratch) / "control-plane") as control_plane,
    ):
        prepare(control_plane, PROJECT)
        with installation(control_plane, Path(scratch) / "stack") as made:
            found = measured(made, made.stack, finished, asleep)
    names = ("cpu", "floor", "apiserver", "operator", "projector", "nats", "sandboxes", "operator MB")
    show(
        "ms of processor time a run, and memory",
        {what: {n: row[n] for n in names if n in row} for what, row in found.items()},
    )
    print(f"\nwritten to {store('scale', found)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finished", type=int, default=10_000)
    parser.add_argument("--sleeping", type=int, default=1000)
    given = parser.parse_args()
    main(given.finished, given.sleeping)
