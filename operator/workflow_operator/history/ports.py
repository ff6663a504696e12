"""What the engine, the projector and the operator need of the transport, and of nothing else.

JetStream implements these in :mod:`workflow_operator.jetstream`; the unit tests' in-memory twin passes the same
contract tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from workflow_operator.history.commits import Commit
from workflow_operator.history.errors import Terminal
from workflow_operator.history.events import ExecutorRef, InstanceEvent
from workflow_operator.history.status import InstanceStatus
from workflow_operator.history.subjects import InstanceKey


class DataBus(Protocol):
    """Carries events, and answers queries for statuses and histories."""

    async def append(self, events: Commit, expected: int) -> list[InstanceEvent]:
        """Append events of one instance as one commit, if its last commit still has the sequence ``expected`` (0: none
        yet): all of them or none.

        Returns the events with ``sequence``, ``previous`` and ``place`` set. They are stored when this returns. An
        append without an answer is tried again, identical, until the transport answers: cancel the call to give up.

        Raises:
            Conflict: someone else appended first, and no commit of these events is among what follows ``expected``.
            PayloadTooLarge: larger than the transport carries.
            ValueError: no events, more than MAX_EVENTS, or of several instances.
        """

    async def push_instance_event(self, event: InstanceEvent, expected: int) -> InstanceEvent:
        """Append one event, as a commit of its own. Errors as of :meth:`append`."""

    def read_history(self, key: InstanceKey, *, after: int = 0, slim: bool = False) -> AsyncIterator[InstanceEvent]:
        """The events of an instance with a sequence greater than ``after``, in order; ``slim`` as a replay needs them.

        A history can have any size: at most one commit and a MiB more of them are in memory at once, and others get
        their turn meanwhile.

        Raises:
            Unavailable: the transport does not answer.
            UnknownFormat: an event was written by a newer release.
            InvalidInput: an event cannot be read.
        """

    async def query_history(self, key: InstanceKey, *, after: int = 0, slim: bool = False) -> list[InstanceEvent]:
        """What :meth:`read_history` reads, all at once: for histories that are slim, or known to be small.

        Raises:
            Unavailable: the transport does not answer.
            UnknownFormat: an event was written by a newer release.
        """

    async def query_instance_status(
        self, namespace: str | None = None, instance_id: UUID | None = None
    ) -> list[InstanceStatus]:
        """The statuses that match; all of them without a filter. In no particular order.

        Raises:
            Unavailable: the transport does not answer.
        """

    async def query_statuses(self, keys: Sequence[InstanceKey]) -> dict[InstanceKey, InstanceStatus]:
        """The statuses of these instances; those without one are absent.

        Raises:
            Unavailable: the transport does not answer.
            UnknownFormat, InvalidInput: one of them cannot be read.
        """

    def read_statuses(
        self, keys: Sequence[InstanceKey]
    ) -> AsyncIterator[Mapping[InstanceKey, InstanceStatus | Terminal]]:
        """The statuses of these instances, or why one cannot be read; at most one and a MiB more of them at once.

        Raises:
            Unavailable: the transport does not answer.
        """

    async def write_status(self, status: InstanceStatus) -> int:
        """Store a status over the one with ``status.sequence`` (0: none yet); the new sequence.

        Raises:
            Conflict: another replica wrote first.
            Unavailable: no answer; it may or may not be stored.
        """


@dataclass(frozen=True, slots=True)
class Release:
    """What an executor says as it lets go of an instance: who it was in the history, and whether its sandbox died."""

    executor: ExecutorRef
    crashed: bool = False


class Delivery(Protocol):
    """One queued instance, held by this executor until it acks or stops extending."""

    @property
    def key(self) -> InstanceKey: ...

    @property
    def attempt(self) -> int:
        """How many times the queue has delivered it, this one included."""

    @property
    def queued_at(self) -> datetime:
        """When it was queued, by the transport's clock."""

    @property
    def started(self) -> InstanceEvent | None:
        """The history as it was when it was queued, if that was ``started`` alone; None where the message does not hold
        it. No more than a hint: there may be more by now."""

    @property
    def released(self) -> Release | None:
        """What the holder that released it last said. Who fell silent since then said nothing."""

    async def extend(self) -> None:
        """Keep holding it. Failures are silent: the history fences a holder that lost it."""

    async def ack(self, *, confirmed: bool = True) -> None:
        """Done with it: only after a terminal or parked tail was read back or appended.

        ``confirmed``: when this returns, the instance can be queued again. Nobody queues one that has ended.
        """

    async def retry(self, delay_seconds: float) -> None:
        """Give it back, to be delivered again after the delay. Failures are silent: it is delivered again anyway."""

    async def release(self, release: Release) -> None:
        """Give it back to be delivered at once, as a first attempt, together with a word for the next holder.

        Failures are silent: it is delivered again anyway, without the word.
        """


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Instances that wait for an executor, that one holds, and that are to be queued later (or as soon as not held)."""

    waiting: int
    held: int
    scheduled: int


class WorkQueue(Protocol):
    """Queues instances for executors: at most one message for an instance at a time."""

    async def enqueue(
        self, key: InstanceKey, release: Release | None = None, started: InstanceEvent | None = None
    ) -> bool:
        """Queue the instance; False if it is queued or held already.

        ``release``: the word of who let go of it. ``started``: its history, if it has nothing else yet, which whoever
        takes the instance need not read then; a large one is left out.

        Its holder may have read the history for the last time and be about to ack. Who must be sure that an event is
        seen answers False with ``enqueue_at`` that event's time or now: a timer waits until the holder is done.

        Raises:
            Unavailable: no answer; it may or may not be queued.
        """

    async def enqueue_at(self, key: InstanceKey, at: datetime) -> None:
        """Queue the instance at that time, or as soon after it as nobody holds it.

        An instance has one timer: until it has fired, a new time takes the place of the old one.

        Raises:
            Unavailable: no answer; it may or may not be scheduled.
        """

    async def drop_timer(self, key: InstanceKey, cause: int) -> None:
        """Take back the timer of an instance that has ended; ``cause`` is the sequence of the event that parked it.

        Raises:
            Unavailable: no answer; it may or may not be there still.
        """

    async def pull(self, limit: int, timeout_seconds: float, admits: Callable[[InstanceKey], bool]) -> list[Delivery]:
        """Take up to ``limit`` queued instances, of several namespaces in turn; empty after the timeout.

        Args:
            admits: whether an instance may be taken now. One that may not keeps those of other namespaces waiting no
                longer.

        Raises:
            Unavailable: the transport does not answer.
        """

    async def stop_pulling(self) -> None:
        """Give back at once what came and was not taken, and ask for nothing more until the next pull."""

    async def depth(self) -> QueueDepth:
        """How much is in the queue, for all replicas together. Not exact while it changes.

        Raises:
            Unavailable: the transport does not answer.
        """
