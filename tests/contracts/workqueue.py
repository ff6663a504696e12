"""What every WorkQueue keeps to.

A test class inherits the suite and provides the fixtures ``work_queue``, whose ack wait is one second, and ``clock``,
which is the queue's.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Protocol

from tests.fakes.records import new_key
from workflow_operator.history import ExecutorRef, QueueDepth, Release, WorkQueue

SOON = 10.0


class Clock(Protocol):
    def now(self) -> datetime: ...


def in_seconds(clock: Clock, seconds: float) -> datetime:
    return clock.now() + timedelta(seconds=seconds)


class WorkQueueContract:
    async def test_delivers_what_was_queued(self, work_queue: WorkQueue) -> None:
        keys = {new_key() for _ in range(5)}
        for key in keys:
            assert await work_queue.enqueue(key)

        taken = await work_queue.pull(10, SOON)

        assert {each.key for each in taken} == keys
        assert {each.attempt for each in taken} == {1}

    async def test_takes_no_more_than_the_limit(self, work_queue: WorkQueue) -> None:
        for _ in range(5):
            await work_queue.enqueue(new_key())

        assert [len(await work_queue.pull(3, SOON)), len(await work_queue.pull(3, SOON))] == [3, 2]

    async def test_knows_how_much_waits_is_held_and_comes_later(self, work_queue: WorkQueue, clock: Clock) -> None:
        assert await work_queue.depth() == QueueDepth(waiting=0, held=0, scheduled=0)
        for _ in range(4):
            await work_queue.enqueue(new_key())
        for _ in range(2):
            await work_queue.enqueue_at(new_key(), in_seconds(clock, 1000), cause=1)

        (held,) = await work_queue.pull(1, SOON)

        assert await work_queue.depth() == QueueDepth(waiting=3, held=1, scheduled=2)
        await held.ack()
        assert await work_queue.depth() == QueueDepth(waiting=3, held=0, scheduled=2)

    async def test_tells_when_an_instance_was_queued_however_often_it_is_delivered(
        self, work_queue: WorkQueue, clock: Clock
    ) -> None:
        begun = clock.now()
        await work_queue.enqueue(new_key())
        (first,) = await work_queue.pull(1, SOON)
        queued_at = first.queued_at
        await first.retry(0)
        (second,) = await work_queue.pull(1, SOON)

        assert begun - timedelta(seconds=1) <= queued_at <= clock.now()
        assert (second.attempt, second.queued_at) == (2, queued_at)

    async def test_is_empty_after_the_timeout(self, work_queue: WorkQueue) -> None:
        assert await work_queue.pull(3, 0.05) == []

    async def test_a_waiting_pull_gets_what_comes(self, work_queue: WorkQueue) -> None:
        pulling = asyncio.create_task(work_queue.pull(3, SOON))
        key = new_key()
        await work_queue.enqueue(key)

        assert [each.key for each in await pulling] == [key]

    async def test_an_instance_is_queued_once_until_it_is_acked(self, work_queue: WorkQueue) -> None:
        key = new_key()
        assert [await work_queue.enqueue(key), await work_queue.enqueue(key)] == [True, False]
        (held,) = await work_queue.pull(3, SOON)
        assert not await work_queue.enqueue(key)
        await held.ack()
        assert await work_queue.enqueue(key)

    async def test_a_silent_holder_loses_it_to_the_next(self, work_queue: WorkQueue) -> None:
        await work_queue.enqueue(new_key())
        (first,) = await work_queue.pull(3, SOON)
        (second,) = await work_queue.pull(3, SOON)

        assert (second.key, second.attempt) == (first.key, 2)

    async def test_a_holder_that_extends_keeps_it(self, work_queue: WorkQueue) -> None:
        await work_queue.enqueue(new_key())
        (held,) = await work_queue.pull(3, SOON)
        for _ in range(4):
            assert await work_queue.pull(3, 0.5) == []
            await held.extend()

    async def test_gives_it_back_after_the_delay(self, work_queue: WorkQueue) -> None:
        key = new_key()
        await work_queue.enqueue(key)
        (held,) = await work_queue.pull(3, SOON)
        await held.retry(0.3)

        assert await work_queue.pull(3, 0.1) == []
        assert not await work_queue.enqueue(key)
        (again,) = await work_queue.pull(3, SOON)
        assert (again.key, again.attempt) == (key, 2)

    async def test_a_released_one_is_delivered_at_once_with_the_word_of_who_held_it(
        self, work_queue: WorkQueue
    ) -> None:
        key = new_key()
        await work_queue.enqueue(key)
        (held,) = await work_queue.pull(3, SOON)
        assert held.released is None
        release = Release(ExecutorRef(id="operator-1", epoch=3), crashed=True)
        await held.release(release)

        assert not await work_queue.enqueue(key)
        (again,) = await work_queue.pull(3, SOON)
        assert (again.key, again.attempt, again.released) == (key, 1, release)
        # The word stays with it until the next one.
        await again.retry(0)
        (more,) = await work_queue.pull(3, SOON)
        assert (more.attempt, more.released) == (2, release)
        last = Release(ExecutorRef(id="operator-2", epoch=4))
        await more.release(last)
        (end,) = await work_queue.pull(3, SOON)
        assert (end.attempt, end.released) == (1, last)
        await end.ack()
        assert await work_queue.depth() == QueueDepth(waiting=0, held=0, scheduled=0)
        assert await work_queue.enqueue(key)
        assert [each.released for each in await work_queue.pull(3, SOON)] == [None]

    async def test_what_was_queued_anew_is_not_released_by_who_held_it_before(self, work_queue: WorkQueue) -> None:
        key = new_key()
        await work_queue.enqueue(key)
        (held,) = await work_queue.pull(3, SOON)
        await held.ack()
        await work_queue.enqueue(key)
        await held.release(Release(ExecutorRef(id="operator-1", epoch=3)))

        assert [each.released for each in await work_queue.pull(3, SOON)] == [None]

    async def test_a_timer_queues_it_at_its_time(self, work_queue: WorkQueue, clock: Clock) -> None:
        key = new_key()
        at = in_seconds(clock, 1.0)
        await work_queue.enqueue_at(key, at, 7)

        (taken,) = await work_queue.pull(3, SOON)

        assert (taken.key, taken.attempt) == (key, 1)
        assert clock.now() >= at
        await taken.ack()
        assert await work_queue.pull(3, 0.5) == []

    async def test_a_timer_of_the_past_fires_at_once(self, work_queue: WorkQueue, clock: Clock) -> None:
        key = new_key()
        await work_queue.enqueue_at(key, in_seconds(clock, -3600), 7)

        assert [each.key for each in await work_queue.pull(3, SOON)] == [key]

    async def test_a_timer_set_twice_fires_once(self, work_queue: WorkQueue, clock: Clock) -> None:
        key = new_key()
        at = in_seconds(clock, 0.5)
        await work_queue.enqueue_at(key, at, 7)
        await work_queue.enqueue_at(key, at, 7)

        (taken,) = await work_queue.pull(3, SOON)
        await taken.ack()

        assert await work_queue.pull(3, 0.7) == []

    async def test_a_timer_waits_for_the_holder_to_be_done(self, work_queue: WorkQueue, clock: Clock) -> None:
        key = new_key()
        await work_queue.enqueue(key)
        (held,) = await work_queue.pull(3, SOON)
        await work_queue.enqueue_at(key, in_seconds(clock, -1), 7)

        assert await work_queue.pull(3, 0.5) == []
        await held.ack()
        assert [(each.key, each.attempt) for each in await work_queue.pull(3, SOON)] == [(key, 1)]
