"""The events that no projector has folded yet, by partition."""

from __future__ import annotations

import logging

from nats.aio.msg import Msg

from workflow_operator.history.errors import InvalidInput, Unavailable, UnknownFormat
from workflow_operator.history.events import InstanceEvent, decode_event
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.jetstream.connection import Connection
from workflow_operator.jetstream.headers import PREVIOUS_SEQUENCE, STREAM_SOURCE, read_sequence
from workflow_operator.jetstream.pulling import nak, pull, send
from workflow_operator.jetstream.topology import PARTITIONS, PROJECTION, partition_consumer

logger = logging.getLogger(__name__)

# Of one partition; all of them may be held, and folded, at once.
_BATCH_BYTES = 1024 * 1024


class ProjectedEvent:
    """One event to fold: ``event``, or ``error`` where this release cannot read it.

    ``sequence`` is its position in the history. Unless it is acked within the ack wait, it is delivered again.
    """

    def __init__(self, connection: Connection, message: Msg) -> None:
        """Raises InvalidInput: the message was not sourced from the history, or its subject names no instance."""
        self._connection = connection
        self._message = message
        self.key = InstanceKey.of_subject(message.subject)
        headers = message.headers or {}
        self.sequence = source_sequence(headers.get(STREAM_SOURCE, ""))
        self.event: InstanceEvent | None = None
        self.error: UnknownFormat | InvalidInput | None = None
        try:
            previous = read_sequence(headers, PREVIOUS_SEQUENCE)
            self.event = decode_event(message.data, sequence=self.sequence, previous=previous, key=self.key)
        except (UnknownFormat, InvalidInput) as error:
            self.error = error
        # What the event does not hold nobody needs until the ack.
        message.data = b""

    async def ack(self) -> None:
        """The status that holds the event is stored. Not confirmed: folding it once more changes nothing."""
        await send(self._connection, self._message, b"+ACK")

    async def retry(self, delay_seconds: float) -> None:
        """Deliver it again after the delay, to this or another replica."""
        await nak(self._connection, self._message, delay_seconds)


class ProjectionFeed:
    """Hands out events. Several replicas may pull the same partition; each event goes to one of them at a time."""

    partitions = PARTITIONS

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def pull(self, partition: int, limit: int, timeout_seconds: float) -> list[ProjectedEvent]:
        """Up to ``limit`` events of a partition (0 to 15), in the order of the history; empty after the timeout.

        They have 1 MiB together, or one of them is larger and comes alone.

        What belongs to no instance is removed, and not among them.

        Raises:
            Unavailable: the transport does not answer.
        """
        consumer = partition_consumer(partition)
        messages = await pull(self._connection, PROJECTION, consumer, limit, timeout_seconds, max_bytes=_BATCH_BYTES)
        events: list[ProjectedEvent] = []
        for message in messages:
            try:
                events.append(ProjectedEvent(self._connection, message))
            except InvalidInput as error:
                # Nobody could ever fold it, and the other events of the batch must not wait for it.
                source = " ".join((message.headers or {}).get(STREAM_SOURCE, "no source").split(" ", 2)[:2])
                logger.error("%s, %s: removed from the projection: %s", message.subject, source, error)
                await send(self._connection, message, b"+TERM")
        return events

    async def pending(self, partition: int) -> int:
        """How many events of a partition wait, or are held by a replica.

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
