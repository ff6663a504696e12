"""The executor: takes queued instances and drives them, as many at once as it has slots."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from workflow_operator import metrics
from workflow_operator.engine.direct import DirectDelivery
from workflow_operator.engine.driving.drive import DriveContext, backoff_seconds, drive
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.engine.measures import Fate, first_waits, measured_execution
from workflow_operator.engine.rehearsal import rehearse
from workflow_operator.engine.room import WaitingRoom, worth_waiting
from workflow_operator.engine.share import Shares
from workflow_operator.history import Delivery, ExecutorRef, InstanceEvent, InstanceKey
from workflow_operator.history.errors import EngineCrash, Unavailable, UnknownFormat

logger = logging.getLogger(__name__)

_PULL_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_FAILED_RETRY_SECONDS = 10.0


class Executor:
    """Drives what it is offered and what it pulls, until it is stopped. Every replica runs one."""

    def __init__(self, context: DriveContext) -> None:
        self._context = context
        self._shares = Shares(context.limits)
        self._released = asyncio.Event()
        self._held: dict[InstanceKey, Holding] = {}
        self._running: dict[asyncio.Task[None], Holding] = {}
        self._room = WaitingRoom(context.writer.clock)
        # When a slot was taken, or became free, last.
        self._moved_at = 0.0
        # Whether it drives what it is offered.
        self.open = False

    @property
    def id(self) -> str:
        """Who it is in the history."""
        return self._context.executor_id

    @property
    def running(self) -> int:
        """How many instances are driven now."""
        return len(self._running)

    async def run(self) -> None:
        """Work until cancelled. Then hand over: what was held is given back to the queue at once, and goes on
        elsewhere from its last recorded step."""
        metrics.EXECUTOR_SLOTS.set(self._context.limits.slots)
        self.open = True
        try:
            while True:
                await self._free_slot()
                await self._pull_once()
        finally:
            self.open = False
            running = dict(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self._context.queue.stop_pulling()
            await self._room.close()
            await asyncio.gather(*(held.give_back() for task, held in running.items() if task.cancelled()))

    def offer(self, started: InstanceEvent) -> bool:
        """Drive a new instance here and now, if there is a slot for it that nobody in the queue waits for; or as soon
        as there is one, while slots turn over.

        ``started`` is not stored yet: the drive does that. It is stored with the name of this executor, so that any
        other one that meets it knows that it may be driven, although it is not in the queue.
        """
        key, context, now = started.key, self._context, self._now()
        if not self.open or self.holds(key):
            return False
        at_once = not len(self._room) and self._shares.admits_start(key.namespace, now)
        if not at_once and not self._may_wait(key.namespace, now):
            return False
        driver = ExecutorRef(id=context.executor_id, epoch=0)
        delivery = DirectDelivery(context.bus, context.queue, context.writer.clock, started, driver)
        held = Holding(delivery, partial(self._contended, key.namespace), started.replace(executor=driver))
        if at_once:
            self._begin(held)
        else:
            self._room.enter(held)
            self._fill()
        return True

    def _may_wait(self, namespace: str, now: float) -> bool:
        waiting, slots = len(self._room), self._context.limits.slots
        return not self._shares.waits(namespace, now) and worth_waiting(waiting, slots, now - self._moved_at)

    def _fill(self) -> None:
        """Give the slots that are free to those that wait for one here."""
        while self.open and (held := self._room.next(self._admits_start)) is not None:
            self._begin(held)

    def _admits_start(self, namespace: str) -> bool:
        return self._shares.admits_start(namespace, self._now())

    async def rehearse(self, events: Sequence[InstanceEvent]) -> str | None:
        """What a run makes otherwise when its script runs again; see :func:`workflow_operator.engine.rehearse`."""
        context = self._context
        return await rehearse(events, context.sandboxes, context.writer.clock, context.limits)

    def holds(self, key: InstanceKey) -> bool:
        """Whether it is driven here, or before long."""
        return key in self._held or key in self._room

    async def drives(self, executor_id: str, key: InstanceKey) -> bool:
        """Whether the executor of an instance that is driven where it started is there to go on with it.

        Raises:
            Unavailable: NATS does not answer.
        """
        if executor_id == self.id:
            return self.holds(key)
        return bool(await self._context.alive([executor_id]))

    async def withdraw(self, key: InstanceKey) -> bool:
        """Stop what is driven here if nothing of it is stored yet, and leave nothing behind.

        False otherwise, and where something of it may be stored: the history tells.
        """
        if await self._room.turn_away(key):
            return True
        for task, held in list(self._running.items()):
            if held.key == key:
                return await _withdrawn(task, held)
        return False

    def _now(self) -> float:
        return self._context.writer.clock.now().timestamp()

    async def _free_slot(self) -> None:
        """Wait for one, and learn meanwhile, once a second, whether somebody else does."""
        pause: asyncio.Future[None] | None = None
        try:
            while self._shares.free < 1:
                self._released.clear()
                pause = pause or asyncio.ensure_future(self._context.writer.clock.sleep(_LOOK_SECONDS))
                released = asyncio.create_task(self._released.wait())
                waits: set[asyncio.Future[Any]] = {released, pause}
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    released.cancel()
                if pause.done():
                    pause = None
                    await self._look_who_waits()
        finally:
            if pause is not None:
                pause.cancel()

    async def _look_who_waits(self) -> None:
        try:
            if self._shares.free < 1 and (await self._context.queue.depth()).waiting:
                self._shares.all_wait(self._now())
        except Unavailable as error:
            logger.info("the depth of the queue is not known: %s", error)

    def _admits(self, key: InstanceKey) -> bool:
        return key in self._held or self._shares.admits(key.namespace, self._now())

    async def _pull_once(self) -> None:
        try:
            deliveries = await self._context.queue.pull(self._shares.free, _PULL_SECONDS, self._admits)
        except Unavailable as error:
            logger.warning("cannot pull queued instances: %s", error)
            await self._context.writer.clock.sleep(_RETRY_SECONDS)
            return
        except Exception:
            logger.exception("cannot pull queued instances")
            await self._context.writer.clock.sleep(_RETRY_SECONDS)
            return
        for seconds in first_waits(deliveries, self._context.writer.clock.now()):
            metrics.QUEUE_WAIT.observe(seconds)
        for delivery in deliveries:
            if (held := self._held.get(delivery.key)) is not None:
                logger.info("instance %s: delivered again to who drives it, which goes on", delivery.key)
                held.renew(delivery)
            else:
                await self._room.turn_away(delivery.key)
                await self._take(delivery)

    async def _take(self, delivery: Delivery) -> None:
        namespace = delivery.key.namespace
        if self._shares.free < 1:
            # What began here meanwhile has the slot.
            await delivery.retry(0)
            return
        self._shares.taken_from_queue(namespace, self._now())
        self._begin(Holding(delivery, partial(self._contended, namespace)))

    def _contended(self, namespace: str) -> bool:
        return self._shares.contended(namespace, self._now())

    def _begin(self, held: Holding) -> None:
        self._moved_at = self._now()
        self._shares.take(held.key.namespace)
        self._held[held.key] = held
        task = asyncio.create_task(self._hold(held), name=f"drive {held.key}")
        self._running[task] = held
        task.add_done_callback(self._release)

    def _release(self, task: asyncio.Task[None]) -> None:
        key = self._running.pop(task).key
        del self._held[key]
        self._shares.release(key.namespace)
        self._moved_at = self._now()
        self._released.set()
        self._fill()

    async def _hold(self, held: Holding) -> None:
        with measured_execution() as execution:
            execution.fate = await self._drive(held)

    async def _drive(self, held: Holding) -> Fate:
        pause = backoff_seconds(held.newest.attempt - 1)
        try:
            return await drive(self._context, held)
        except EngineCrash as error:
            logger.warning("instance %s: %s; the queue delivers it again", held.key, error)
            await held.give_back(crashed=True, pause_seconds=pause)
            return Fate.CRASHED
        except Unavailable as error:
            logger.warning("instance %s: %s; the queue delivers it again", held.key, error)
            if held.executor is not None:
                await self._context.writer.clock.sleep(_RETRY_SECONDS)
            await held.give_back(pause_seconds=pause)
            return Fate.UNAVAILABLE
        except UnknownFormat as error:
            logger.warning("instance %s: %s It is left to a newer replica", held.key, error)
            await held.retry(_FAILED_RETRY_SECONDS)
            return Fate.RETURNED
        except Exception:
            logger.exception("instance %s: the drive failed; the queue delivers it again", held.key)
            await held.retry(_FAILED_RETRY_SECONDS)
            return Fate.CRASHED


async def _withdrawn(task: asyncio.Task[None], held: Holding) -> bool:
    tail = held.tail
    async with tail.lock if tail is not None else nullcontext():
        if held.begun:
            return False
        unstored = held.open and (tail is None or tail.untouched)
        if held.open:
            if tail is not None:
                # The script may do one more thing before it is stopped.
                tail.give_up()
            task.cancel()
    await asyncio.wait({task})
    return unstored
