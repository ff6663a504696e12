"""The message that stands for an instance, in the hands of one executor."""

from __future__ import annotations

from collections.abc import Callable

from workflow_operator.engine.driving.tail import Tail
from workflow_operator.history import Delivery, ExecutorRef, InstanceEvent, InstanceKey, Release


class Holding:
    """One instance that this executor holds, by the newest message that was delivered for it.

    A message can be delivered again to the very executor that holds it: after NATS was away, or after the executor
    overslept. The new delivery takes the place of the old one then, and nobody is overtaken.
    """

    def __init__(
        self,
        delivery: Delivery,
        contended: Callable[[], bool] = lambda: False,
        started: InstanceEvent | None = None,
    ) -> None:
        """``contended``: whether somebody waits for the slot that it is driven in."""
        self.newest = delivery
        self.contended = contended
        self.key: InstanceKey = delivery.key
        # Who this is in the history, once it drives.
        self.executor: ExecutorRef | None = None
        # The event that set its timer, if that has not fired.
        self.timer: int | None = None
        self.renewals = 0
        # What it begins with, if it is the drive that stores it.
        self.started = started
        # What its history was when it was queued, until that is used.
        self.known = delivery.started if delivery.attempt == 1 and delivery.released is None else None
        # The end of its history, while it drives.
        self.tail: Tail | None = None
        self._open = True

    @property
    def begun(self) -> bool:
        """Whether anything of it is stored."""
        return self.started is None or (self.tail is not None and self.tail.sequence > 0)

    @property
    def open(self) -> bool:
        """Whether the newest message was neither acked nor given back."""
        return self._open

    def renew(self, delivery: Delivery) -> None:
        """Take the message that was delivered once more in place of the one before."""
        self.newest = delivery
        self.renewals += 1
        self._open = True

    async def extend(self) -> None:
        if self._open:
            await self.newest.extend()

    async def ack(self, *, confirmed: bool = True) -> None:
        self._open = False
        await self.newest.ack(confirmed=confirmed)

    async def retry(self, delay_seconds: float) -> None:
        self._open = False
        await self.newest.retry(delay_seconds)

    async def give_back(self, *, crashed: bool = False, pause_seconds: float = 0.0) -> None:
        """Let another executor have it: at once and with a word, if it was driven here, else after the pause."""
        self._open = False
        if self.executor is None:
            # Whoever drove it before may have left a word in the message, which has to stay.
            await self.newest.retry(pause_seconds)
        else:
            await self.newest.release(Release(self.executor, crashed))

    def lose(self) -> None:
        """Another executor has the instance: the message is its own."""
        self._open = False
