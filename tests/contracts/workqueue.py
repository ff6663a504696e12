"""What every WorkQueue keeps to.

A test class inherits the suite and provides the fixtures ``work_queue``, whose ack wait is one second, and ``clock``,
which is the queue's.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from tests.fakes.events import event
from tests.fakes.polling import eventually
from tests.fakes.records import new_key
from workflow_operator.history import (
    Delivery,
    EventType,
    ExecutorRef,
    InstanceKey,
    QueueDepth,
    Release,
    WorkQueue,
    encode_event,
)

SOON = 10.0


class Clock(Protocol):
    def now(self) -> datetime: ...


def in_seconds(clock: Clock, seconds: float) -> datetime:
    return clock.now() + timedelta(seconds=seconds)


def anybody(_: InstanceKey) -> bool:
    return True


async def none_scheduled(work_queue: WorkQueue) -> bool:
    return (await work_queue.depth()).scheduled == 0


async def pull_all(work_queue: WorkQueue, count: int) -> list[Delivery]:
    """Pull until so many were taken."""
    taken: list[Delivery] = []
    while len(taken) < count:
        more = await work_queue.pull(count - len(taken), SOON, anybody)
        assert more, f"{len(taken)} of {count} came"
        taken += more
    return taken


class WorkQueueContract:
    async def test_delivers_what_was_queued(self, work_queue: WorkQueue) -> None:
        keys = {new_key() for _ in range(5)}
        for key in keys:
            assert await work_queue.enqueue(key)

        taken = await pull_all(work_queue, 5)

        assert {each.key for each in taken} == keys
        assert {each.attempt for each in taken} == {1}

    async def test_takes_no_more_than_the_limit(self, work_queue: WorkQueue) -> None:
        for number in range(20):
            await work_queue.enqueue(InstanceKey(f"namespace-{number}", new_key().instance_id))

        sizes = []
        while sum(sizes) < 20:
            sizes.append(len(await work_queue.pull(2, SOON, anybody)))
        assert max(sizes) == 2
        assert sum(sizes) == 20

    async def test_serves_one_namespace_after_the_other_whatever_waits_in_each(self, work_queue: WorkQueue) -> None:
        for _ in range(200):
            await work_queue.enqueue(InstanceKey("many", new_key().instance_id))
        few = InstanceKey("few", new_key().instance_id)
        await work_queue.enqueue(few)

        taken = await pull_all(work_queue, 6)
        assert few in {each.key for each in taken}

    async def test_who_may_have_no_more_keeps_nobody_else_waiting(self, work_queue: WorkQueue) -> None:
        # In one lane.
        for _ in range(50):
            await work_queue.enqueue(InstanceKey("team-a", new_key().instance_id))
        other = InstanceKey("tenant-5", new_key().instance_id)
        await work_queue.enqueue(other)

        (taken,) = await work_queue.pull(3, SOON, lambda key: key.namespace != "team-a")
        assert taken.key == other
        # Those that were passed come again.
        await taken.ack()
        assert {each.key.namespace for each in await pull_all(work_queue, 50)} == {"team-a"}

    async def test_nobody_is_delivered_whom_the_executor_does_not_admit(self, work_queue: WorkQueue) -> None:
        await work_queue.enqueue(key := new_key())
        assert await work_queue.pull(3, 0.3, lambda _: False) == []
        assert [each.key for each in await work_queue.pull(3, SOON, anybody)] == [key]

    async def test_knows_how_much_waits_is_held_and_comes_later(self, work_queue: WorkQueue, clock: Clock) -> None:
        assert await work_queue.depth() == QueueDepth(waiting=0, held=0, scheduled=0)
        for _ in range(4):
            await work_queue.enqueue(new_key())
        for _ in range(2):
            await work_queue.enqueue_at(new_key(), in_seconds(clock, 1000))

        (held,) = await work_queue.pull(1, SOON, anybody)

        assert await work_queue.depth() == QueueDepth(waiting=3, held=1, scheduled=2)
        await held.ack()
        assert await work_queue.depth() == QueueDepth(waiting=3, held=0, scheduled=2)

    async def test_a_dropped_timer_wakes_nobody_and_leaves_nothing(self, work_queue: WorkQueue, clock: Clock) -> None:
        keys = [new_key() for _ in range(50)]
        for key in keys:
            await work_queue.enqueue_at(
                key,
                in_seconds(clock, 10_000),
            )
        for key in keys:
            await work_queue.drop_timer(key, 7)
        await work_queue.drop_timer(new_key(), 7)

        assert await work_queue.pull(3, 0.5, anybody) == []
        await eventually(partial(none_scheduled, work_queue))

    async def test_an_instance_has_one_timer(self, work_queue: WorkQueue, clock: Clock) -> None:
        key = new_key()
        await work_queue.enqueue_at(key, in_seconds(clock, 10_000))
        await work_queue.enqueue_at(key, in_seconds(clock, 0.2))

        assert [each.key for each in await work_queue.pull(3, SOON, anybody)] == [key]
        await eventually(partial(none_scheduled, work_queue))

    async def test_tells_when_an_instance_was_queued_however_often_it_is_delivered(
        self, work_queue: WorkQueue, clock: Clock
    ) -> None:
        begun = clock.now()
        await work_queue.enqueue(new_key())
        (first,) = await work_queue.pull(1, SOON, anybody)
        queued_at = first.queued_at
        await first.retry(0)
        (second,) = await work_queue.pull(1, SOON, anybody)

        assert begun - timedelta(seconds=1) <= queued_at <= clock.now()
        assert (second.attempt, second.queued_at) == (2, queued_at)

    async def test_is_empty_after_the_timeout(self, work_queue: WorkQueue) -> None:
        assert await work_queue.pull(3, 0.05, anybody) == []

    async def test_a_waiting_pull_gets_what_comes(self, work_queue: WorkQueue) -> None:
        pulling = asyncio.create_task(work_queue.pull(3, SOON, anybody))
        key = new_key()
        await work_queue.enqueue(key)

        assert [each.key for each in await pulling] == [key]

    async def test_an_instance_is_queued_once_until_it_is_acked(self, work_queue: WorkQueue) -> None:
        key = new_key()
        assert [await work_queue.enqueue(key), await work_queue.enqueue(key)] == [True, False]
        (held,) = await work_queue.pull(3, SOON, anybody)
        assert not await work_queue.enqueue(key)
        await held.ack()
        assert await work_queue.enqueue(key)

    async def test_an_ack_that_nobody_waits_for_removes_it_as_well(self, work_queue: WorkQueue) -> None:
        key = new_key()
        await work_queue.enqueue(key)
        (held,) = await work_queue.pull(3, SOON, anybody)
        await held.ack(confirmed=False)
        await eventually(partial(work_queue.enqueue, key))
        (again,) = await work_queue.pull(3, SOON, anybody)
        assert (again.key, again.attempt) == (key, 1)

    async def test_a_silent_holder_loses_it_to_the_next(self, work_queue: WorkQueue) -> None:
        await work_queue.enqueue(new_key())
        (first,) = await work_queue.pull(3, SOON, anybody)
        (second,) = await work_queue.pull(3, SOON, anybody)

        assert (second.key, second.attempt) == (first.key, 2)

    async def test_a_holder_that_extends_keeps_it(self, work_queue: WorkQueue) -> None:
        await work_queue.enqueue(new_key())
        (held,) = await work_queue.pull(3, SOON, anybody)
        for _ in range(4):
            assert await work_queue.pull(3, 0.5, anybody) == []
            await held.extend()

    async def test_gives_it_back_after_the_delay(self, work_queue: WorkQueue) -> None:
        key = new_key()
        await work_queue.enqueue(key)
        (held,) = await work_queue.pull(3, SOON, anybody)
        await held.retry(0.3)

        assert await work_queue.pull(3, 0.1, anybody) == []
        assert not await work_queue.enqueue(key)
        (again,) = await work_queue.pull(3, SOON, anybody)
        assert (again.key, again.attempt) == (key, 2)

    async def test_a_released_one_is_delivered_at_once_with_the_word_of_who_held_it(
        self, work_queue: WorkQueue
    ) -> None:
        key = new_key()
        await work_queue.enqueue(key)
        (held,) = await work_queue.pull(3, SOON, anybody)
        assert held.released is None
        release = Release(ExecutorRef(id="operator-1", epoch=3), crashed=True)
        await held.release(release)

        assert not await work_queue.enqueue(key)
        (again,) = await work_queue.pull(3, SOON, anybody)
        assert (again.key, again.attempt, again.released) == (key, 1, release)
        # The word stays with it until the next one.
        await again.retry(0)
        (more,) = await work_queue.pull(3, SOON, anybody)
        assert (more.attempt, more.released) == (2, release)
        last = Release(ExecutorRef(id="operator-2", epoch=4))
        await more.release(last)
        (end,) = await work_queue.pull(3, SOON, anybody)
        assert (end.attempt, end.released) == (1, last)
        await end.ack()
        assert await work_queue.depth() == QueueDepth(waiting=0, held=0, scheduled=0)
        assert await work_queue.enqueue(key)
        assert [each.released for each in await work_queue.pull(3, SOON, anybody)] == [None]

    async def test_what_nobody_held_is_queued_with_a_word_too(self, work_queue: WorkQueue) -> None:
        key = new_key()
        release = Release(ExecutorRef(id="operator-1", epoch=0), crashed=True)
        assert await work_queue.enqueue(key, release)
        assert not await work_queue.enqueue(key, Release(ExecutorRef(id="operator-2", epoch=0)))

        (taken,) = await work_queue.pull(3, SOON, anybody)
        assert (taken.key, taken.attempt, taken.released) == (key, 1, release)

    async def test_carries_what_the_history_begins_with_unless_that_is_large(self, work_queue: WorkQueue) -> None:
        small, large = new_key(), new_key()
        texts = {small: "return 1", large: "x" * 20_000}
        for key, text in texts.items():
            started = event(EventType.STARTED, sequence=7, key=key, script=text)
            assert await work_queue.enqueue(key, started=started.replace(size=len(encode_event(started))))

        taken = {each.key: each for each in await pull_all(work_queue, 2)}
        assert taken[large].started is None
        carried = taken[small].started
        assert carried is not None
        assert (carried.script, carried.sequence, carried.previous) == ("return 1", 7, 0)
        assert carried.size == len(encode_event(carried))
        # The word of who held it since then takes its place.
        await taken[small].release(Release(ExecutorRef(id="operator-1", epoch=0)))
        (again,) = await work_queue.pull(3, SOON, anybody)
        assert again.started is None

    async def test_what_was_queued_anew_is_not_released_by_who_held_it_before(self, work_queue: WorkQueue) -> None:
        key = new_key()
        await work_queue.enqueue(key)
        (held,) = await work_queue.pull(3, SOON, anybody)
        await held.ack()
        await work_queue.enqueue(key)
        await held.release(Release(ExecutorRef(id="operator-1", epoch=3)))

        assert [each.released for each in await work_queue.pull(3, SOON, anybody)] == [None]

    async def test_a_timer_queues_it_at_its_time(self, work_queue: WorkQueue, clock: Clock) -> None:
        key = new_key()
        at = in_seconds(clock, 1.0)
        await work_queue.enqueue_at(key, at)

        (taken,) = await work_queue.pull(3, SOON, anybody)

        assert (taken.key, taken.attempt) == (key, 1)
        assert clock.now() >= at
        await taken.ack()
        assert await work_queue.pull(3, 0.5, anybody) == []

    async def test_a_timer_of_the_past_fires_at_once(self, work_queue: WorkQueue, clock: Clock) -> None:
        key = new_key()
        await work_queue.enqueue_at(key, in_seconds(clock, -3600))

        assert [each.key for each in await work_queue.pull(3, SOON, anybody)] == [key]

    async def test_a_timer_set_twice_fires_once(self, work_queue: WorkQueue, clock: Clock) -> None:
        key = new_key()
        at = in_seconds(clock, 0.5)
        await work_queue.enqueue_at(key, at)
        await work_queue.enqueue_at(key, at)

        (taken,) = await work_queue.pull(3, SOON, anybody)
        await taken.ack()

        assert await work_queue.pull(3, 0.7, anybody) == []

    async def test_a_timer_waits_for_the_holder_to_be_done(self, work_queue: WorkQueue, clock: Clock) -> None:
        key = new_key()
        await work_queue.enqueue(key)
        (held,) = await work_queue.pull(3, SOON, anybody)
        await work_queue.enqueue_at(key, in_seconds(clock, -1))

        assert await work_queue.pull(3, 0.5, anybody) == []
        await held.ack()
        assert [(each.key, each.attempt) for each in await work_queue.pull(3, SOON, anybody)] == [(key, 1)]
