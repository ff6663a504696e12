"""The sweep: queues again every pending instance that nobody will wake, so that no lost message strands a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from workflow_operator.engine.clock import Clock
from workflow_operator.history import InstanceKey, InstanceStatus, WorkQueue
from workflow_operator.history.errors import Unavailable

logger = logging.getLogger(__name__)


def due(status: InstanceStatus, now: datetime) -> bool:
    """Whether an executor should hold this instance, or find it in the queue."""
    if status.terminal:
        return False
    return not status.parked or status.cancel_requested or (status.wake_at is not None and status.wake_at <= now)


class Sweeper:
    """Keeps the pending statuses in view, and queues the due ones every ``period_seconds``.

    An instance that is queued or held already is refused by the queue, so a sweep of a healthy system changes
    nothing. A status is left alone for one period after it changed.
    """

    def __init__(self, queue: WorkQueue, clock: Clock, period_seconds: float = 15.0) -> None:
        self._queue = queue
        self._clock = clock
        self._period = timedelta(seconds=period_seconds)
        self._pending: dict[InstanceKey, tuple[datetime, InstanceStatus]] = {}

    def observe(self, status: InstanceStatus) -> None:
        """Take in a status that was written."""
        if status.terminal:
            self._pending.pop(status.key, None)
        else:
            # Values and labels are of no use here, and can be large.
            slim = status.replace(script=None, input=None, memory=None, output=None, metadata={})
            self._pending[status.key] = (self._clock.now(), slim)

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self._clock.sleep(self._period.total_seconds())
            try:
                await self.sweep()
            except Unavailable as error:
                logger.warning("cannot sweep: %s", error)
            except Exception:
                logger.exception("cannot sweep")

    async def sweep(self) -> None:
        """Queue what is due.

        Raises:
            Unavailable: NATS does not answer.
        """
        now = self._clock.now()
        for key in self._overdue(now):
            if await self._queue.enqueue(key):
                # Most have ended, and their status is on its way: an executor finds that out.
                logger.debug("instance %s: queued again, in case nobody holds it", key)

    def _overdue(self, now: datetime) -> Iterable[InstanceKey]:
        return [
            key
            for key, (observed, status) in self._pending.items()
            if now - observed >= self._period and due(status, now)
        ]
