"""What one partition of the history brings, made into statuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from workflow_operator.history import Commit, InstanceKey, InstanceStatus
from workflow_operator.history.errors import Terminal, Unavailable, UnknownFormat, UnreadableStatus
from workflow_operator.projector.plan import Fold, Gap, Plan, Stale, is_progress, plan
from workflow_operator.projector.ports import ProjectedCommit
from workflow_operator.projector.statuses import Found, Statuses

logger = logging.getLogger(__name__)

# How far an instance is, is written so late at most; that it began, parked or ended at once.
PROGRESS_SECONDS: Final = 0.1
# Of commits that wait for that, of one partition.
_WAITING_BYTES = 256 * 1024

RETRY_SECONDS: Final = 1.0
NEWER_RELEASE_SECONDS: Final = 10.0
_FAILED_SECONDS = 10.0


@dataclass(slots=True)
class _Work:
    """Commits of one instance that are held, and what they make of its status as it is stored."""

    held: list[ProjectedCommit] = field(default_factory=list)
    news: list[Commit] = field(default_factory=list)
    """Those that are not in ``folded``."""
    stored: InstanceStatus | None = None
    folded: Fold | None = None

    @property
    def commits(self) -> list[Commit]:
        return [each.events for each in self.held if each.events is not None]

    @property
    def size(self) -> int:
        return sum(event.size for commit in self.commits for event in commit)

    @property
    def begins(self) -> bool:
        return any(commit[0].previous == 0 for commit in self.news)


class Partition:
    """Folds batches one after another: at most one status of an instance for each, and of progress one in 100 ms.

    A commit is acked once the stored status holds it. Until then it is only in memory here, and comes again to whoever
    has the partition.
    """

    def __init__(self, statuses: Statuses, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._statuses = statuses
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._waiting: dict[InstanceKey, _Work] = {}
        self._waiting_bytes = 0
        self._waits = asyncio.Event()

    def forget(self) -> None:
        """Believe nothing that was read before; what waits to be written comes again."""
        self._waiting.clear()
        self._waiting_bytes = 0

    async def project(self, batch: Sequence[ProjectedCommit]) -> None:
        """Fold a batch. Whatever goes wrong with one instance is its own.

        Raises:
            Unavailable: NATS does not answer; the batch comes again.
        """
        async with self._turn:
            works: dict[InstanceKey, _Work] = {}
            for held in batch:
                if held.events is None:
                    await _refuse(held)
                else:
                    work = works.setdefault(held.events[0].key, _Work())
                    work.held.append(held)
                    work.news.append(held.events)
            found: dict[InstanceKey, Found] = {}
            missing: list[InstanceKey] = []
            for key, work in works.items():
                self._resume(key, work)
                status = self._statuses.known(key) if work.folded is None else work.stored
                if status is None and not work.begins:
                    missing.append(key)
                else:
                    # There is none yet before the first commit; if there is, the write is refused.
                    found[key] = status
            await self._project_instances(works, found)
            async for read in self._statuses.find(missing):
                await self._project_instances(works, read)

    def _resume(self, key: InstanceKey, work: _Work) -> None:
        """Take what waits of the instance along."""
        if (waiting := self._waiting.pop(key, None)) is not None:
            self._waiting_bytes -= waiting.size
            work.held[:0] = waiting.held
            work.stored, work.folded = waiting.stored, waiting.folded

    async def write_progress(self) -> None:
        """Write what waits, each time that something does, until cancelled."""
        while True:
            await self._waits.wait()
            await self._sleep(PROGRESS_SECONDS)
            async with self._turn:
                self._waits.clear()
                waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
                try:
                    await self._project_instances(waiting, {key: work.stored for key, work in waiting.items()})
                except Exception:
                    logger.exception("what waited to be written comes again")

    async def _project_instances(self, works: Mapping[InstanceKey, _Work], found: Mapping[InstanceKey, Found]) -> None:
        await asyncio.gather(*(self._project_instance(key, works[key], status) for key, status in found.items()))

    async def _project_instance(self, key: InstanceKey, work: _Work, found: Found) -> None:
        """Fold, and then ack or give back, unless it is to wait. Whatever goes wrong is this instance's own."""
        again: float | None = None
        try:
            planned = _plan(work, found)
            if self._has_to_wait(key, work, planned):
                return
            if not await self._statuses.settle(key, planned, work.commits):
                again = RETRY_SECONDS
        except (Unavailable, UnknownFormat) as error:
            logger.warning("instance %s: not projected yet: %s", key, error)
            again = NEWER_RELEASE_SECONDS if isinstance(error, UnknownFormat) else RETRY_SECONDS
        except Terminal:
            # Neither another replica nor another time would do better.
            logger.exception("instance %s: not projected", key)
        except Exception:
            logger.exception("instance %s: not projected; tried again", key)
            again = _FAILED_SECONDS
        for held in work.held:
            await (held.ack() if again is None else held.retry(again))

    def _has_to_wait(self, key: InstanceKey, work: _Work, planned: Plan) -> bool:
        if not (work.news and isinstance(planned, Fold) and is_progress(work.stored, planned.status)):
            return False
        if (held := self._waiting_bytes + work.size) > _WAITING_BYTES:
            return False
        work.news, work.folded = [], planned
        self._waiting[key], self._waiting_bytes = work, held
        self._waits.set()
        return True


def _plan(work: _Work, found: Found) -> Plan:
    """Raises Terminal: the status cannot be read by this release, or the history is damaged."""
    if isinstance(found, UnreadableStatus):
        return Gap()
    if isinstance(found, Terminal):
        raise found
    work.stored = found
    planned = plan(work.folded or found, work.news)
    return work.folded if isinstance(planned, Stale) and work.folded is not None else planned


async def _refuse(held: ProjectedCommit) -> None:
    logger.error("an event cannot be projected: %s", held.error)
    if isinstance(held.error, UnknownFormat):
        await held.retry(NEWER_RELEASE_SECONDS)
    else:
        await held.ack()
