"""The projector's loops: each of its partitions, what was missed, and how much is left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from workflow_operator import metrics
from workflow_operator.history import DataBus, InstanceKey
from workflow_operator.history.errors import Unavailable, WorkflowError
from workflow_operator.projector.partition import NEWER_RELEASE_SECONDS, RETRY_SECONDS, Partition
from workflow_operator.projector.ports import Feed, Shares
from workflow_operator.projector.statuses import Statuses

logger = logging.getLogger(__name__)

_PULL_SECONDS = 2.0
_PENDING_SECONDS = 15.0


class Projector:
    """Listens to ``instances.history.*.*``, publishes to ``instances.status.*.*``."""

    def __init__(
        self,
        bus: DataBus,
        feed: Feed,
        shares: Shares,
        sleep: Callable[[float], Awaitable[None]],
        now: Callable[[], datetime],
    ) -> None:
        self._feed = feed
        self._shares = shares
        self._sleep = sleep
        self.statuses = Statuses(bus, now)
        self._partitions = [Partition(self.statuses, sleep) for _ in range(feed.partitions)]
        self._compare = asyncio.Event()
        self._compare.set()

    def compare_tails(self) -> None:
        """Ask for a comparison of all histories with their statuses: at the start, and after a reconnect.

        What was read before is believed no more: NATS may have come back with less than it had, and an event that the
        cached status holds already would never be folded.
        """
        self.statuses.forget()
        for partition in self._partitions:
            partition.forget()
        self._compare.set()

    async def start(self) -> None:
        """Project until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._compare_when_asked())
            group.create_task(self._show_pending())
            for number, partition in enumerate(self._partitions):
                group.create_task(self._follow(number, partition))
                group.create_task(partition.write_progress())

    async def _follow(self, number: int, partition: Partition) -> None:
        try:
            while True:
                try:
                    if self._owns(number):
                        await partition.project(await self._feed.pull(number, _PULL_SECONDS))
                        continue
                    await self._feed.leave(number)
                except WorkflowError as error:
                    logger.warning("partition %d: %s", number, error)
                except Exception:
                    logger.exception("partition %d: a batch failed; its events come again", number)
                await self._sleep(RETRY_SECONDS)
        finally:
            await self._feed.leave(number)

    def _owns(self, partition: int) -> bool:
        return self._shares.owns(f"partition-{partition}")

    async def _show_pending(self) -> None:
        while True:
            owned = filter(self._owns, range(self._feed.partitions))
            try:
                metrics.PROJECTION_PENDING.set(sum(await asyncio.gather(*map(self._feed.pending, owned))))
            except WorkflowError as error:
                logger.info("it is not known how many events are not folded yet: %s", error)
            except Exception:
                logger.exception("it is not known how many events are not folded yet")
            await self._sleep(_PENDING_SECONDS)

    async def _compare_when_asked(self) -> None:
        while True:
            await self._compare.wait()
            self._compare.clear()
            try:
                async for key in self._feed.tails():
                    await self._catch_up(key)
            except Exception as error:
                level = logging.WARNING if isinstance(error, WorkflowError) else logging.ERROR
                logger.log(level, "cannot compare histories with statuses: %r; tried again", error)
                self._compare.set()
                await self._sleep(NEWER_RELEASE_SECONDS)

    async def _catch_up(self, key: InstanceKey) -> None:
        try:
            await self.statuses.refold(key, 0)
        except Unavailable:
            raise
        except Exception as error:
            logger.error("instance %s: not compared: %r", key, error)
