"""What the projector needs of the transport beside the data bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from workflow_operator.history import Commit, InstanceKey
from workflow_operator.history.errors import WorkflowError


class ProjectedCommit(Protocol):
    """One commit of the feed, held until acked. ``error`` is set, and ``events`` are not, where it cannot be read."""

    @property
    def events(self) -> Commit | None: ...

    @property
    def error(self) -> WorkflowError | None: ...

    async def ack(self) -> None: ...

    async def retry(self, delay_seconds: float) -> None: ...


class Feed(Protocol):
    """The history as a work queue, partitioned by instance."""

    @property
    def partitions(self) -> int: ...

    async def pull(self, partition: int, timeout_seconds: float) -> Sequence[ProjectedCommit]:
        """The commits of a partition that have come, in bounds; empty after the timeout. More come until it is left.

        Raises:
            Unavailable: NATS does not answer.
        """

    async def leave(self, partition: int) -> None:
        """Have nothing more come of a partition, and give back what came and was not pulled."""

    async def pending(self, partition: int) -> int:
        """How many commits of a partition are not acked yet.

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
