"""An executor that is lost at any operation of a script with steps and promises, and another one that goes on."""

# ruff: noqa: E501 - scripts

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.fakes.events import plain
from tests.fakes.http import FakeHttp
from tests.fakes.memory import MemoryDataBus, MemoryWorkQueue
from tests.fakes.world import HandDelivery, Wire, check
from tests.fixtures.driven import KEY, AheadClock, Driver
from workflow_operator.engine import EngineLimits
from workflow_operator.engine.driving.drive import DriveContext, drive
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.history import EventType, InstanceEvent
from workflow_operator.javascript.host import SandboxPool

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

# Nothing goes on side by side that may end in another order: so each run makes the same history.
SCRIPT = """
async function main() {
  const drawn = [Math.random()];
  const quote = await step.do("quote", async () => {
    const one = await fetch("http://a/quote", { method: "POST" });
    const two = await fetch("http://a/price", { method: "POST" });
    return [one.status, two.status, Math.random()];
  });
  await step.sleep("nap", "1 hour");
  const bad = await step.do("bad", { retries: { limit: 1, delay: "10m", jitter: 0 } }, (ctx) => { throw new Error("no " + ctx.attempt) })
    .catch((error) => [error.message, error.attempts]);
  const order = await fetch("http://a/order", { method: "POST" });
  transition(next, { bad });
  const lost = new AbortController();
  const loser = step.do("loser", { signal: lost.signal }, () => new Promise(() => {})).catch((error) => error.name);
  await step.do("winner", () => 1);
  lost.abort();
  const list = await step.map([1, 2, 3], { concurrency: 1 }, (x) => step.do("map", () => x));
  sleep(60);
  drawn.push(Math.random(), uuid());
  return { total: quote[0] + quote[1] + order.status, bad, loser: await loser, list, drawn };
}
function next() {}
"""
NOT_OF_THE_SCRIPT = {EventType.STARTED, EventType.CLAIMED, EventType.WAITING}


class World:
    def __init__(self, pool: SandboxPool) -> None:
        self.clock = AheadClock()
        self.bus = MemoryDataBus()
        self.http = FakeHttp()
        self._pool = pool
        self._writer = EventWriter(self.clock, uuid4)

    async def start(self) -> None:
        started = self._writer.event(KEY, EventType.STARTED, script=SCRIPT, rules=1)
        await self.bus.append([started], expected=0)

    async def history(self) -> list[InstanceEvent]:
        return await self.bus.query_history(KEY)

    async def drive(self, name: str, attempt: int, wire: Wire) -> None:
        """Once; what it parks for is due at once."""
        queue = MemoryWorkQueue(self.clock)

        async def nobody(executors: Any) -> list[str]:
            return []

        context = DriveContext(
            bus=wire.over(self.bus),
            queue=wire.over(queue),
            sandboxes=wire.over(self._pool),
            writer=self._writer,
            limits=EngineLimits(park_after_seconds=0, crash_limit=1000),
            executor_id=name,
            log=lambda *_: None,
            alive=nobody,
            http=wire.over(self.http),
        )
        async with asyncio.timeout(30):
            delivery = HandDelivery(KEY, attempt)
            delivery.queued_at = self.clock.now()
            await drive(context, Holding(wire.over(delivery)))
        last = (await self.history())[-1]
        if last.wake_at is not None:
            self.clock.ahead += max(timedelta(), last.wake_at - self.clock.now())

    async def drive_to_the_end(self) -> None:
        for turn in range(20):
            if (await self.history())[-1].terminal:
                return
            await self.drive("bc"[turn % 2], 2, Wire())
        raise AssertionError(f"no end after many drives: {[event.type for event in await self.history()]}")


async def lose(pool: SandboxPool, wire: Wire) -> World:
    world = World(pool)
    await world.start()
    attempt = 1
    while not (await world.history())[-1].terminal:
        try:
            await world.drive("a", attempt, wire)
        except asyncio.CancelledError:
            break
        attempt = 2
    return world


def told(events: list[InstanceEvent]) -> list[tuple[Any, ...]]:
    """All but times, executors and what a park leaves behind."""
    return [
        (event.type, event.call, event.function, event.attempt, plain(event.result), plain(event.output))
        for event in events
        if event.type not in NOT_OF_THE_SCRIPT
    ]


@pytest.mark.parametrize("answered", [False, True], ids=["before its effect", "after its effect"])
async def test_an_executor_lost_at_any_operation_loses_nothing_and_repeats_what_was_not_recorded(
    drive: Driver, answered: bool
) -> None:
    undisturbed = Wire()
    world = await lose(drive.pool, undisturbed)
    expected = told(await world.history())
    keys = [request.headers["Idempotency-Key"] for request in world.http.requests]
    assert expected[-1][0] is EventType.SUCCEEDED
    assert len(keys) == len(set(keys)) == 3
    assert undisturbed.count > 100
    for cut_at in range(1, undisturbed.count + 1):
        world = await lose(drive.pool, Wire(cut_at, answered=answered))
        before = {event.call.index for event in await world.history() if event.call is not None}
        sent = len(world.http.requests)
        await world.drive_to_the_end()
        events = await world.history()
        check(events)
        assert told(events) == expected, cut_at
        again = [request.headers["Idempotency-Key"] for request in world.http.requests[sent:]]
        # What was recorded is never asked for again; what was not has the key that it had.
        assert not {key for key in again if key.split("-")[5] in before}, cut_at
        counted = Counter(request.headers["Idempotency-Key"] for request in world.http.requests)
        assert counted.keys() == set(keys), cut_at
        assert max(counted.values()) <= 2, cut_at
