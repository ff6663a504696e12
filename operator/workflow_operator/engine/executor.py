"""The executor: takes queued instances and drives them, as many at once as it has slots."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from workflow_operator import metrics
from workflow_operator.engine.drive import DriveContext, backoff_seconds, drive
from workflow_operator.engine.holding import Holding
from workflow_operator.engine.measures import Fate, first_waits, measured_execution
from workflow_operator.engine.share import Shares
from workflow_operator.history import InstanceKey
from workflow_operator.history.errors import EngineCrash, Unavailable, UnknownFormat

logger = logging.getLogger(__name__)

_PULL_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_FAILED_RETRY_SECONDS = 10.0


class Executor:
    """Pulls and drives until it is stopped. Every replica runs one."""

    def __init__(self, context: DriveContext) -> None:
        self._context = context
        self._shares = Shares(context.limits)
        self._released = asyncio.Event()
        self._held: dict[InstanceKey, Holding] = {}
        self._running: dict[asyncio.Task[None], Holding] = {}

    @property
    def running(self) -> int:
        """How many instances are driven now."""
        return len(self._running)

    async def run(self) -> None:
        """Work until cancelled. Then hand over: what was held is given back to the queue at once, and goes on
        elsewhere from its last recorded step."""
        metrics.EXECUTOR_SLOTS.set(self._context.limits.slots)
        try:
            while True:
                await self._free_slot()
                await self._pull_once()
        finally:
            running = dict(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self._context.queue.stop_pulling()
            await asyncio.gather(*(held.give_back() for task, held in running.items() if task.cancelled()))

    def _now(self) -> float:
        return self._context.writer.clock.now().timestamp()

    async def _free_slot(self) -> None:
        """Wait for one, and learn meanwhile whether somebody else does."""
        while self._shares.free < 1:
            self._released.clear()
            released = asyncio.ensure_future(self._released.wait())
            pause = asyncio.ensure_future(self._context.writer.clock.sleep(_LOOK_SECONDS))
            try:
                await asyncio.wait({released, pause}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                released.cancel()
                pause.cancel()
            if self._shares.free < 1:
                try:
                    if (await self._context.queue.depth()).waiting:
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
                self._begin(Holding(delivery, partial(self._contended, delivery.key.namespace)))

    def _contended(self, namespace: str) -> bool:
        return self._shares.contended(namespace, self._now())

    def _begin(self, held: Holding) -> None:
        self._shares.take(held.key.namespace)
        self._held[held.key] = held
        task = asyncio.create_task(self._hold(held), name=f"drive {held.key}")
        self._running[task] = held
        task.add_done_callback(self._release)

    def _release(self, task: asyncio.Task[None]) -> None:
        key = self._running.pop(task).key
        del self._held[key]
        self._shares.release(key.namespace)
        self._released.set()

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
