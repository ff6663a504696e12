"""The sweep: queues again every pending instance that nobody will wake, so that no lost message strands a run."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from workflow_operator.engine.clock import Clock
from workflow_operator.history import InstanceKey, InstanceStatus, WorkQueue
from workflow_operator.history.errors import Unavailable

logger = logging.getLogger(__name__)

# What the queue holds, or will hold before long: it refuses what it holds already.
_QUEUED_SECONDS = 15.0
# What waits to wake was driven without the queue until then: its timer may never have been set.
_UNTIMED_SECONDS = 3.0
# Statuses lag: what this executor let go of has ended, or is in the queue, unless NATS was away just then.
_MINE_SECONDS = 5.0
_GONE_SECONDS = 1.0
# Whoever lives and drives it where it started sees to it. Only a claim is lost if it does after all.
_OTHERS_SECONDS = 120.0

_LOOK_SECONDS = 1.0
_LOOKS_BETWEEN_SLEEPERS = 5
# Every replica has had the time to show that it lives, after NATS was away from all of them.
_TRUST_AFTER = timedelta(seconds=3)


class Here(Protocol):
    """The executor in the same process; see :class:`workflow_operator.engine.Executor`."""

    @property
    def id(self) -> str: ...

    def holds(self, key: InstanceKey) -> bool: ...


def due(status: InstanceStatus, now: datetime) -> bool:
    """Whether an executor should hold this instance, or find it in the queue."""
    if status.terminal:
        return False
    if status.suspended_at is not None and not status.cancel_requested:
        return False
    return not status.parked or status.cancel_requested or (status.wake_at is not None and status.wake_at <= now)


def patience(status: InstanceStatus, executor_id: str, alive: Collection[str]) -> float:
    """Seconds for which a due instance that is not driven here is left alone. Pure.

    Args:
        executor_id: who asks.
        alive: the other executors that are known to live.
    """
    driver = status.executor
    # Only a run that nobody claimed yet can be driven without a message in the queue, which comes back by itself.
    if driver is None or driver.epoch > 0:
        return _QUEUED_SECONDS
    if status.parked:
        return _UNTIMED_SECONDS
    if driver.id == executor_id:
        return _MINE_SECONDS
    return _OTHERS_SECONDS if driver.id in alive else _GONE_SECONDS


@dataclass(slots=True)
class _Pending:
    """``since``: nobody can have missed it before that time. ``queued``: by us, since its status was written."""

    status: InstanceStatus
    since: datetime
    queued: bool = False


class Sweeper:
    """Keeps the pending statuses in view, and queues those that are due and that nobody sees to.

    An instance that is queued or held already is refused by the queue, so a sweep of a healthy system changes
    nothing. Of a replica that died, what it drove where it started is in no queue: any other one queues it, as soon as
    it shows no sign of life.

    Args:
        here: the executor of this replica. What it holds is left alone.
        alive: which of some executors live.
        spare: whether an instance is to be left alone for as long as what the queue holds. Its object may show its end
            already, if NATS came back from an older backup.
    """

    def __init__(
        self,
        queue: WorkQueue,
        clock: Clock,
        here: Here,
        alive: Callable[[Collection[str]], Awaitable[Collection[str]]],
        spare: Callable[[InstanceStatus], bool] = lambda status: False,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._here = here
        self._alive = alive
        self._spare = spare
        self._awake: dict[InstanceKey, _Pending] = {}
        self._asleep: dict[InstanceKey, _Pending] = {}
        self._answering_since: datetime | None = None
        self._missed: frozenset[str] = frozenset()

    def observe(self, status: InstanceStatus) -> None:
        """Take in a status that was written."""
        self._awake.pop(status.key, None)
        self._asleep.pop(status.key, None)
        if not status.terminal:
            # Values and labels are of no use here, and can be large.
            slim = status.replace(script=None, input=None, memory=None, output=None, metadata={})
            kept = self._asleep if status.parked and not status.cancel_requested else self._awake
            kept[status.key] = _Pending(slim, self._clock.now())

    async def run(self) -> None:
        """Sweep until cancelled."""
        looks = 0
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            looks += 1
            try:
                await self.sweep(sleepers=looks % _LOOKS_BETWEEN_SLEEPERS == 0)
            except Unavailable as error:
                self._answering_since = None
                logger.warning("cannot sweep: %s", error)
            except Exception:
                logger.exception("cannot sweep")

    async def sweep(self, *, sleepers: bool = True) -> None:
        """Queue what is due.

        Args:
            sleepers: look at those too that may only have missed their time to wake, of which there can be many.

        Raises:
            Unavailable: NATS does not answer.
        """
        now = self._clock.now()
        found = [each for each in self._awake.values() if due(each.status, now)]
        if sleepers:
            found += [each for each in self._asleep.values() if due(each.status, now)]
        found = [each for each in found if not self._held(each, now)]
        alive = await self._living(found, now)
        for each in found:
            waited = (now - max(each.since, each.status.wake_at or each.since)).total_seconds()
            patient = each.queued or self._spare(each.status)
            if waited < (_QUEUED_SECONDS if patient else patience(each.status, self._here.id, alive)):
                continue
            if await self._queue.enqueue(each.status.key):
                # Most have ended, and their status is on its way: an executor finds that out.
                logger.debug("instance %s: queued again, in case nobody holds it", each.status.key)
            each.since, each.queued = now, True

    def _held(self, pending: _Pending, now: datetime) -> bool:
        if not self._here.holds(pending.status.key):
            return False
        pending.since = now
        return True

    async def _living(self, found: Collection[_Pending], now: datetime) -> Collection[str]:
        """Who lives of the executors that drove these last. Who was missed once may only be slow."""
        drivers = frozenset(each.status.executor.id for each in found if each.status.executor) - {self._here.id}
        missed = drivers.difference(await self._alive(drivers)) if drivers else drivers
        gone, self._missed = missed & self._missed, missed
        self._answering_since = self._answering_since or now
        return drivers - gone if now - self._answering_since >= _TRUST_AFTER else drivers
