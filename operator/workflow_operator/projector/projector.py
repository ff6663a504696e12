"""The projector's loop: pull a batch, plan, write, and only then ack."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from workflow_operator import metrics
from workflow_operator.history import DataBus, InstanceEvent, InstanceKey, InstanceStatus
from workflow_operator.history.errors import (
    Conflict,
    InvalidInput,
    PayloadTooLarge,
    Terminal,
    Unavailable,
    UnknownFormat,
    UnreadableStatus,
    WorkflowError,
)
from workflow_operator.projector.cache import StatusCache
from workflow_operator.projector.plan import Fold, Gap, Stale, follow, plan, without_values

logger = logging.getLogger(__name__)

_BATCH = 500
_PULL_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_NEWER_RELEASE_SECONDS = 10.0
_PENDING_SECONDS = 15.0
_FAILED_SECONDS = 10.0
# Each reads and folds a history, of which it holds 2 MiB.
_REFOLDS = 4


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
        self._cache = StatusCache()
        self._refolds = asyncio.Semaphore(_REFOLDS)
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
            except Exception:
                logger.exception("partition %d: a batch failed; its events come again", partition)
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
            except Exception:
                logger.exception("it is not known how many events are not folded yet")
            await self._sleep(_PENDING_SECONDS)

    async def _project(self, batch: Sequence[ProjectedEvent]) -> None:
        groups: dict[InstanceKey, list[ProjectedEvent]] = defaultdict(list)
        for held in batch:
            if held.event is None:
                await self._refuse(held)
            else:
                groups[held.event.key].append(held)
        known = {key: status for key in groups if (status := self._cache.get(key)) is not None}
        missing = dict.fromkeys(key for key in groups if key not in known)
        await self._project_instances(groups, known)
        # As they come, so that they are never all in memory.
        async for found in self._bus.read_statuses(list(missing)):
            for key in found:
                missing.pop(key, None)
            await self._project_instances(groups, found)
        await self._project_instances(groups, missing)

    async def _project_instances(
        self,
        groups: Mapping[InstanceKey, Sequence[ProjectedEvent]],
        statuses: Mapping[InstanceKey, InstanceStatus | Terminal | None],
    ) -> None:
        await asyncio.gather(*(self._project_instance(key, groups[key], status) for key, status in statuses.items()))

    async def _refuse(self, held: ProjectedEvent) -> None:
        logger.error("an event cannot be projected: %s", held.error)
        if isinstance(held.error, UnknownFormat):
            await held.retry(_NEWER_RELEASE_SECONDS)
        else:
            await held.ack()

    async def _project_instance(
        self, key: InstanceKey, batch: Sequence[ProjectedEvent], status: InstanceStatus | Terminal | None
    ) -> None:
        """Fold, and then ack or give back. Whatever goes wrong is this instance's own."""
        events = [held.event for held in batch if held.event is not None]
        again: float | None = None
        try:
            if isinstance(status, Terminal) and not isinstance(status, UnreadableStatus):
                raise status
            if not await self._fold(key, status, events):
                again = _RETRY_SECONDS
        except (Unavailable, UnknownFormat) as error:
            logger.warning("instance %s: not projected yet: %s", key, error)
            again = _NEWER_RELEASE_SECONDS if isinstance(error, UnknownFormat) else _RETRY_SECONDS
        except Terminal:
            # Neither another replica nor another time would do better.
            logger.exception("instance %s: not projected", key)
        except Exception:
            logger.exception("instance %s: not projected; tried again", key)
            again = _FAILED_SECONDS
        await asyncio.gather(*(held.ack() if again is None else held.retry(again) for held in batch))

    async def _fold(
        self, key: InstanceKey, status: InstanceStatus | UnreadableStatus | None, events: Sequence[InstanceEvent]
    ) -> bool:
        """Whether the stored status holds all of these events now."""
        while True:
            match Gap() if isinstance(status, UnreadableStatus) else plan(status, events):
                case Stale():
                    return True
                case Gap():
                    done = await self._refold(key, max(event.sequence for event in events))
                    metrics.PROJECTION_REFOLDS.inc(done)
                    return done
                case Fold() as news:
                    if await self._write(key, news):
                        return True
                    status = await self._read(key)

    async def _refold(self, key: InstanceKey, upto: int) -> bool:
        """Fold all of the history that the status lacks; False if what was read of it ends before ``upto``.

        Raises:
            InvalidInput: the history is damaged.
        """
        async with self._refolds:
            while True:
                found = await self._read(key)
                status = None if isinstance(found, UnreadableStatus) else found
                folded: Fold | None = None
                async for event in self._bus.read_history(key, after=status.history_sequence if status else 0):
                    match follow(folded or status, event):
                        case Gap():
                            raise InvalidInput(
                                f"instance {key}: an event before sequence {event.sequence} is missing in the history "
                                "itself; it is damaged"
                            )
                        case Fold() as more:
                            folded = more
                last = folded.status if folded else status
                if last is None or last.history_sequence < upto:
                    # A follower that lags does not have it yet.
                    return False
                if isinstance(found, UnreadableStatus) and folded is not None:
                    logger.error("instance %s: its status is made again from its history: %s", key, found)
                    folded = replace(folded, status=folded.status.replace(sequence=found.sequence))
                if folded is None or await self._write(key, folded):
                    return True

    async def _read(self, key: InstanceKey) -> InstanceStatus | UnreadableStatus | None:
        self._cache.drop(key)
        try:
            return (await self._bus.query_statuses([key])).get(key)
        except UnreadableStatus as unreadable:
            return unreadable

    async def _write(self, key: InstanceKey, news: Fold) -> bool:
        """Whether it was written; if not, another replica was faster.

        Raises:
            PayloadTooLarge: what NATS takes in one message is less than the smallest form of the status.
        """
        status = news.status
        # Whatever becomes of the write, what was held is over; and what a failed write leaves there is not known.
        self._cache.drop(key)
        try:
            sequence = await self._bus.write_status(status)
        except PayloadTooLarge as error:
            slim = without_values(status)
            if slim == status:
                raise
            logger.warning("instance %s: %s; its status goes without script, input, memory and metadata", key, error)
            return await self._write(key, replace(news, status=slim))
        except Conflict:
            return False
        metrics.PROJECTED_EVENTS.inc(news.events)
        metrics.PROJECTION_LAG.observe(lag(news.time, self._now()))
        if not status.terminal:
            self._cache.put(status.replace(sequence=sequence))
        return True

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
                await self._sleep(_NEWER_RELEASE_SECONDS)

    async def _catch_up(self, key: InstanceKey) -> None:
        try:
            await self._refold(key, 0)
        except Unavailable:
            raise
        except Exception as error:
            logger.error("instance %s: not compared: %r", key, error)


def lag(time: datetime, now: datetime) -> float:
    """Seconds since an event. Its time is of another machine's clock: never less than zero."""
    return max(0.0, (now - time).total_seconds())
