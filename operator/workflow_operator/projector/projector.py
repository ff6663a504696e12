"""The projector's loop: pull a batch, plan, write, and only then ack."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from workflow_operator import metrics
from workflow_operator.history import DataBus, InstanceEvent, InstanceKey, InstanceStatus, encode_status
from workflow_operator.history.errors import (
    Conflict,
    InvalidInput,
    PayloadTooLarge,
    Terminal,
    Unavailable,
    UnknownFormat,
    WorkflowError,
)
from workflow_operator.projector.plan import Fold, Gap, Stale, plan, without_values

logger = logging.getLogger(__name__)

_BATCH = 500
_PULL_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_NEWER_RELEASE_SECONDS = 10.0
_PENDING_SECONDS = 15.0
_CACHED_STATUSES = 2_000
_CACHED_BYTES = 16 * 1024


class ProjectedEvent(Protocol):
    """One event of the feed, held until acked. ``error`` is set, and ``event`` is not, where it cannot be read."""

    @property
    def event(self) -> InstanceEvent | None: ...

    @property
    def error(self) -> WorkflowError | None: ...

    async def ack(self) -> None: ...

    async def retry(self, delay_seconds: float) -> None: ...


class Feed(Protocol):
    """The history as a work queue, partitioned by instance."""

    @property
    def partitions(self) -> int: ...

    async def pull(self, partition: int, limit: int, timeout_seconds: float) -> Sequence[ProjectedEvent]:
        """Up to ``limit`` events of a partition; empty after the timeout.

        Raises:
            Unavailable: NATS does not answer.
        """

    async def pending(self, partition: int) -> int:
        """How many events of a partition are not acked yet.

        Raises:
            Unavailable: NATS does not answer.
        """

    def tails(self) -> AsyncIterator[InstanceKey]:
        """The instances whose last event is not the one that their status was folded from.

        Raises:
            Unavailable: NATS does not answer.
        """


class Shares(Protocol):
    """Which partitions are this replica's. Two replicas that both believe to own one waste work, and break nothing."""

    def owns(self, key: str) -> bool: ...


class Projector:
    """Listens to ``instances.history.*.*``, publishes to ``instances.status.*.*``.

    Any replica may fold any instance at any time: every write is a compare-and-set on the status, every status
    names the last event in it, and every event names the one before it, so the result is the same.
    """

    def __init__(
        self,
        bus: DataBus,
        feed: Feed,
        shares: Shares,
        sleep: Callable[[float], Awaitable[None]],
        now: Callable[[], datetime],
    ) -> None:
        self._bus = bus
        self._feed = feed
        self._shares = shares
        self._sleep = sleep
        self._now = now
        self._cache: dict[InstanceKey, InstanceStatus] = {}
        self._compare = asyncio.Event()
        self._compare.set()

    def compare_tails(self) -> None:
        """Ask for a comparison of all histories with their statuses: at the start, and after a reconnect.

        What was read before is believed no more: NATS may have come back with less than it had, and an event that the
        cached status holds already would never be folded.
        """
        self._cache.clear()
        self._compare.set()

    async def start(self) -> None:
        """Project until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._compare_when_asked())
            group.create_task(self._show_pending())
            for partition in range(self._feed.partitions):
                group.create_task(self._follow(partition))

    async def _follow(self, partition: int) -> None:
        while True:
            if not self._owns(partition):
                await self._sleep(_RETRY_SECONDS)
                continue
            try:
                batch = await self._feed.pull(partition, _BATCH, _PULL_SECONDS)
                await self._project(batch)
            except WorkflowError as error:
                logger.warning("partition %d: %s", partition, error)
                await self._sleep(_RETRY_SECONDS)

    def _owns(self, partition: int) -> bool:
        return self._shares.owns(f"partition-{partition}")

    async def _show_pending(self) -> None:
        while True:
            owned = filter(self._owns, range(self._feed.partitions))
            try:
                metrics.PROJECTION_PENDING.set(sum(await asyncio.gather(*map(self._feed.pending, owned))))
            except WorkflowError as error:
                logger.info("it is not known how many events are not folded yet: %s", error)
            await self._sleep(_PENDING_SECONDS)

    async def _project(self, batch: Sequence[ProjectedEvent]) -> None:
        groups: dict[InstanceKey, list[ProjectedEvent]] = defaultdict(list)
        for held in batch:
            if held.event is None:
                await self._refuse(held)
            else:
                groups[held.event.key].append(held)
        missing = [key for key in groups if key not in self._cache]
        try:
            self._cache.update(await self._bus.query_statuses(missing))
        except Terminal as error:
            # One of them cannot be read; each is tried by itself below, as one without a status.
            logger.warning("statuses cannot be read at once: %s", error)
        await asyncio.gather(*(self._project_instance(key, held) for key, held in groups.items()))
        while len(self._cache) > _CACHED_STATUSES:
            del self._cache[next(iter(self._cache))]

    async def _refuse(self, held: ProjectedEvent) -> None:
        logger.error("an event cannot be projected: %s", held.error)
        if isinstance(held.error, UnknownFormat):
            await held.retry(_NEWER_RELEASE_SECONDS)
        else:
            await held.ack()

    async def _project_instance(self, key: InstanceKey, batch: Sequence[ProjectedEvent]) -> None:
        events = [held.event for held in batch if held.event is not None]
        try:
            done = await self._fold(key, events)
        except (Unavailable, UnknownFormat) as error:
            logger.warning("instance %s: not projected yet: %s", key, error)
            done = False
        except Terminal:
            # Neither another replica nor another time would do better.
            logger.exception("instance %s: not projected", key)
            done = True
        await asyncio.gather(*(held.ack() if done else held.retry(_RETRY_SECONDS) for held in batch))

    async def _fold(self, key: InstanceKey, events: Sequence[InstanceEvent], *, whole: bool = False) -> bool:
        """Whether the stored status holds all of these events now. ``whole``: they are the entire history."""
        while True:
            match plan(self._cache.get(key), events):
                case Stale():
                    return True
                case Fold(folded, news):
                    if await self._write(key, folded):
                        metrics.PROJECTED_EVENTS.inc(len(news))
                        metrics.PROJECTION_LAG.observe(lag(news, self._now()))
                        return True
                case Gap() if whole:
                    raise InvalidInput(f"instance {key}: an event is missing in the history itself; it is damaged")
                case Gap():
                    history = await self._bus.query_history(key)
                    if not history or history[-1].sequence < max(event.sequence for event in events):
                        # A follower that lags does not have it yet.
                        return False
                    metrics.PROJECTION_REFOLDS.inc()
                    await self._reload(key)
                    return await self._fold(key, history, whole=True)

    async def _write(self, key: InstanceKey, folded: InstanceStatus) -> bool:
        """Whether it was written; if not, what is there now was read."""
        try:
            try:
                sequence = await self._bus.write_status(folded)
            except PayloadTooLarge as error:
                logger.warning(
                    "instance %s: %s; its status goes without script, input, memory and metadata", key, error
                )
                folded = without_values(folded)
                sequence = await self._bus.write_status(folded)
        except (Conflict, Unavailable) as error:
            # Written by another replica, or perhaps by this very call: read what is there, and plan again.
            await self._reload(key)
            if isinstance(error, Unavailable):
                raise
            return False
        if folded.terminal or len(encode_status(folded)) > _CACHED_BYTES:
            # Nothing follows it, or it would fill the memory.
            self._cache.pop(key, None)
        else:
            self._cache[key] = folded.replace(sequence=sequence)
        return True

    async def _reload(self, key: InstanceKey) -> None:
        self._cache.pop(key, None)
        self._cache.update(await self._bus.query_statuses([key]))

    async def _compare_when_asked(self) -> None:
        while True:
            await self._compare.wait()
            self._compare.clear()
            try:
                async for key in self._feed.tails():
                    await self._catch_up(key)
            except WorkflowError as error:
                logger.warning("cannot compare histories with statuses: %s; tried again", error)
                self._compare.set()
                await self._sleep(_NEWER_RELEASE_SECONDS)

    async def _catch_up(self, key: InstanceKey) -> None:
        try:
            if history := await self._bus.query_history(key):
                await self._reload(key)
                await self._fold(key, history, whole=True)
        except Terminal as error:
            logger.error("instance %s: not compared: %s", key, error)


def lag(events: Sequence[InstanceEvent], now: datetime) -> float:
    """Seconds since the last of these events. Its time is of another machine's clock: never less than zero."""
    return max(0.0, (now - events[-1].time).total_seconds())
