"""Does the sweep where no operator is left: runs that the last one executed where they started are in no queue."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import datetime
from typing import Protocol

from workflow_operator.engine.clock import Clock
from workflow_operator.engine.sweep import Sweeper
from workflow_operator.history import InstanceStatus
from workflow_operator.history.errors import Unavailable

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0


class Recent(Protocol):
    """See :class:`workflow_operator.jetstream.RecentStatuses`."""

    async def read(self, now: datetime) -> Iterable[InstanceStatus]: ...


class Deputy:
    """Sweeps for as long as no operator lives. One that lives sees to all of it.

    Nobody sweeps before an operator was there: NATS may come from a backup that is older than the objects, and only
    operators know which runs their objects show as finished.

    Args:
        operators: which operators live.
        begin: makes a sweeper that knows of nothing yet, and what reads for it each status that was written lately.
    """

    def __init__(
        self,
        operators: Callable[[], Awaitable[Collection[str]]],
        begin: Callable[[], tuple[Sweeper, Recent]],
        clock: Clock,
    ) -> None:
        self._operators = operators
        self._begin = begin
        self._clock = clock
        self._sweeping: tuple[Sweeper, Recent] | None = None
        self._seen_one = False

    def reconnected(self) -> None:
        """NATS was away, and may have come back with less than it had."""
        self._seen_one, self._sweeping = False, None

    async def run(self) -> None:
        """Look every two seconds, until cancelled."""
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            try:
                await self.look()
            except Unavailable as error:
                self._sweeping = None
                logger.warning("cannot tell whether an operator lives, or sweep for it: %s", error)
            except Exception:
                logger.exception("cannot tell whether an operator lives, or sweep for it")

    async def look(self) -> None:
        """Sweep once if no operator lives.

        Raises:
            Unavailable: NATS does not answer.
        """
        living = await self._operators()
        self._seen_one = self._seen_one or bool(living)
        if living or not self._seen_one:
            self._sweeping = None
            return
        if self._sweeping is None:
            logger.info("no operator lives: looking for what the last one left")
            self._sweeping = self._begin()
        sweeper, recent = self._sweeping
        for status in await recent.read(self._clock.now()):
            sweeper.observe(status)
        await sweeper.sweep()
