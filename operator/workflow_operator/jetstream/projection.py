"""The commits that no projector has folded yet, by partition."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from nats.aio.msg import Msg

from workflow_operator.history.commits import Commit, decode_commit
from workflow_operator.history.errors import InvalidInput, Unavailable, UnknownFormat
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.headers import PREVIOUS_SEQUENCE, STREAM_SOURCE, read_sequence
from workflow_operator.jetstream.pulling import nak, send
from workflow_operator.jetstream.standing import StandingPull
from workflow_operator.jetstream.streams.topology import PARTITIONS, PROJECTION, partition_consumer

logger = logging.getLogger(__name__)

# Far below the ack wait, after which a commit is delivered again.
ACK_SECONDS: Final = 0.1

# Of one partition; all of them may be held, and folded, at once.
_BATCH = 500
_BATCH_BYTES = 1024 * 1024


class Acks:
    """Acks that are sent together, 100 ms after the first of them: read one by one they cost NATS half as much again.

    What was acked and not sent is held all the same; if this process dies, it is folded again, which changes nothing.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._messages: list[Msg] = []
        self._sending: asyncio.Task[None] | None = None

    def add(self, message: Msg) -> None:
        self._messages.append(message)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_later(), name="acks of the projection")

    async def _send_later(self) -> None:
        await asyncio.sleep(ACK_SECONDS)
        self._sending = None
        await self.send()

    async def send(self) -> None:
        """Send them now."""
        messages, self._messages = self._messages, []
        for message in messages:
            await send(self._connection, message, b"+ACK")


class ProjectedCommit:
    """One commit to fold: ``events``, or ``error`` where this release cannot read it.

    ``sequence`` is its position in the history. Unless it is acked within the ack wait, it is delivered again.
    """

    def __init__(self, connection: Connection, message: Msg, acks: Acks) -> None:
        """Raises InvalidInput: the message was not sourced from the history, or its subject names no instance."""
        self._connection = connection
        self._acks = acks
        self._message = message
        self.key = InstanceKey.of_subject(message.subject)
        headers = message.headers or {}
        self.sequence = source_sequence(headers.get(STREAM_SOURCE, ""))
        self.events: Commit | None = None
        self.error: UnknownFormat | InvalidInput | None = None
        try:
            previous = read_sequence(headers, PREVIOUS_SEQUENCE)
            self.events = decode_commit(message.data, sequence=self.sequence, previous=previous, key=self.key)
        except (UnknownFormat, InvalidInput) as error:
            self.error = error
        # What the events do not hold nobody needs until the ack.
        message.data = b""

    async def ack(self) -> None:
        """The status that holds it is stored. Sent with others, not confirmed: folding it again changes nothing."""
        self._acks.add(self._message)

    async def retry(self, delay_seconds: float) -> None:
        """Deliver it again after the delay, to this or another replica."""
        await nak(self._connection, self._message, delay_seconds)


class ProjectionFeed:
    """Hands out commits. Several replicas may pull the same partition; each commit goes to one of them at a time."""

    partitions = PARTITIONS

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._acks = Acks(connection)
        self._pulls = [
            StandingPull(connection, PROJECTION, partition_consumer(number), batch=_BATCH, max_bytes=_BATCH_BYTES)
            for number in range(PARTITIONS)
        ]

    async def pull(self, partition: int, timeout_seconds: float) -> list[ProjectedCommit]:
        """The commits of a partition (0 to 15) that have come, in the order of the history; empty after the timeout.

        They are at most 500 and have 1 MiB together, or one of them is larger and comes alone. More of them may come
        until the partition is left. What belongs to no instance is removed, and not among them.

        Raises:
            Unavailable: the transport does not answer.
        """
        commits: list[ProjectedCommit] = []
        for message in await self._pulls[partition].take(timeout_seconds):
            try:
                commits.append(ProjectedCommit(self._connection, message, self._acks))
            except InvalidInput as error:
                # Nobody could ever fold it, and the rest of the batch must not wait for it.
                source = " ".join((message.headers or {}).get(STREAM_SOURCE, "no source").split(" ", 2)[:2])
                logger.error("%s, %s: removed from the projection: %s", message.subject, source, error)
                await send(self._connection, message, b"+TERM")
        return commits

    async def leave(self, partition: int) -> None:
        """Have nothing more come of a partition, and give back what came and was not pulled."""
        await self._pulls[partition].leave()
        await self._acks.send()

    async def pending(self, partition: int) -> int:
        """How many commits of a partition wait, or are held by a replica.

        Raises:
            Unavailable: the transport does not answer.
        """
        consumer = partition_consumer(partition)
        info = await self._connection.api(f"CONSUMER.INFO.{PROJECTION}.{consumer}", {})
        if "error" in info:
            raise Unavailable(f"JetStream: {PROJECTION}, {consumer}: {info['error'].get('description')}")
        return int(info["num_pending"]) + int(info["num_ack_pending"])


def source_sequence(header: str) -> int:
    """The sequence in the origin, which is the second word of a Nats-Stream-Source header.

    Raises:
        InvalidInput: not such a header.
    """
    try:
        return int(header.split(" ", 2)[1])
    except (ValueError, IndexError) as error:
        raise InvalidInput(f"{STREAM_SOURCE} header {header!r}: expected <stream> <sequence> ...") from error
