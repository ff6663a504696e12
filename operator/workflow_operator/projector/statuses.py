"""The statuses of instances: read, folded further, and written by compare-and-set."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from workflow_operator import metrics
from workflow_operator.history import Commit, DataBus, InstanceEvent, InstanceKey, InstanceStatus
from workflow_operator.history.errors import Conflict, InvalidInput, PayloadTooLarge, Terminal, UnreadableStatus
from workflow_operator.projector.cache import StatusCache
from workflow_operator.projector.plan import Fold, Gap, Plan, Stale, follow, plan, without_values

logger = logging.getLogger(__name__)

# Each reads and folds a history, of which it holds 2 MiB.
_REFOLDS = 4

Found: TypeAlias = InstanceStatus | Terminal | None
"""What stands in the place of a status: one, what cannot be read, or nothing yet."""


class Statuses:
    """Any replica may fold any instance at any time: every write is a compare-and-set on the status, every status names
    the last commit in it, and every commit names the one before it, so the result is the same."""

    def __init__(self, bus: DataBus, now: Callable[[], datetime]) -> None:
        self.bus = bus
        self._now = now
        self._cache = StatusCache()
        self._refolds = asyncio.Semaphore(_REFOLDS)

    def forget(self) -> None:
        """Believe nothing that was read before."""
        self._cache.clear()

    def known(self, key: InstanceKey) -> InstanceStatus | None:
        """The status that was written last, as far as it is held."""
        return self._cache.get(key)

    async def find(self, keys: Sequence[InstanceKey]) -> AsyncIterator[Mapping[InstanceKey, Found]]:
        """What stands in the place of these statuses, some at a time, so that they are never all in memory.

        Raises:
            Unavailable: NATS does not answer.
        """
        missing = dict.fromkeys(keys)
        if not missing:
            return
        async for found in self.bus.read_statuses(list(missing)):
            for key in found:
                missing.pop(key, None)
            yield found
        yield missing

    async def settle(self, key: InstanceKey, planned: Plan, commits: Sequence[Commit]) -> bool:
        """Do what was planned for these commits; whether the stored status holds all of them now.

        Raises:
            Unavailable: NATS does not answer.
            Terminal: the history is damaged, or what was read or is to be written cannot be.
        """
        while True:
            match planned:
                case Stale():
                    return True
                case Gap():
                    done = await self.refold(key, max(commit[0].sequence for commit in commits))
                    metrics.PROJECTION_REFOLDS.inc(done)
                    return done
                case Fold() as news:
                    if await self._write(key, news):
                        return True
                    status = await self._read(key)
                    planned = Gap() if isinstance(status, UnreadableStatus) else plan(status, commits)

    async def refold(self, key: InstanceKey, upto: int) -> bool:
        """Fold all of the history that the status lacks; False if what was read of it ends before ``upto``.

        Raises:
            InvalidInput: the history is damaged.
        """
        async with self._refolds:
            while True:
                found = await self._read(key)
                status = None if isinstance(found, UnreadableStatus) else found
                folded: Fold | None = None
                events = self.bus.read_history(key, after=status.history_sequence if status else 0)
                async for commit in in_commits(events):
                    match follow(folded or status, commit):
                        case Gap():
                            raise InvalidInput(
                                f"instance {key}: an event before sequence {commit[0].sequence} is missing in the "
                                "history itself; it is damaged"
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
            return (await self.bus.query_statuses([key])).get(key)
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
            sequence = await self.bus.write_status(status)
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


async def in_commits(events: AsyncIterator[InstanceEvent]) -> AsyncIterator[Commit]:
    """The events of a history as they were stored, each commit whole."""
    commit: list[InstanceEvent] = []
    async for event in events:
        if commit and event.sequence != commit[0].sequence:
            yield commit
            commit = []
        commit.append(event)
    if commit:
        yield commit


def lag(time: datetime, now: datetime) -> float:
    """Seconds since an event. Its time is of another machine's clock: never less than zero."""
    return max(0.0, (now - time).total_seconds())
