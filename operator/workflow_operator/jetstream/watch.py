"""Following the statuses of all instances."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from nats.aio.msg import Msg

from workflow_operator.history.errors import InvalidInput, Unavailable, UnknownFormat
from workflow_operator.history.status import InstanceStatus, decode_status
from workflow_operator.history.subjects import STATUS as STATUS_PREFIX
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.jetstream.connection import Connection
from workflow_operator.jetstream.pulling import pull
from workflow_operator.jetstream.reads import create_reader
from workflow_operator.jetstream.topology import STATUS

logger = logging.getLogger(__name__)

_BATCH = 500
_BATCH_BYTES = 1024 * 1024
_PULL_SECONDS = 5.0
_PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class _Consumer:
    name: str
    delivered: int = 0


class StatusWatcher:
    """Every status as it is written, beginning with the last one of every instance.

    Of several statuses of an instance in quick succession only the last may be seen. Resumes by itself, from where it
    was, after the loss of the connection, the server or the consumer.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._seen = 0
        self._target = 0
        self.caught_up = asyncio.Event()
        """Set once all that was stored when the watch began has been delivered and handled."""

    async def statuses(self) -> AsyncIterator[InstanceStatus]:
        """The statuses, without end. For one reader at a time."""
        consumer: _Consumer | None = None
        while True:
            try:
                if consumer is None:
                    consumer = await self._consume()
                    self._check_caught_up()
                messages = await pull(
                    self._connection, STATUS, consumer.name, _BATCH, _PULL_SECONDS, max_bytes=_BATCH_BYTES
                )
            except Unavailable as error:
                logger.warning("statuses: resuming after sequence %d: %s", self._seen, error)
                consumer = None
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            for message in messages:
                sequence = message.metadata.sequence
                if sequence.consumer != consumer.delivered + 1:
                    # Something was lost on its way, and is not sent twice.
                    consumer = None
                    break
                consumer.delivered = sequence.consumer
                status = _decode(message)
                if status is not None:
                    yield status
                self._seen = sequence.stream
                self._check_caught_up()

    def _check_caught_up(self) -> None:
        if self._seen >= self._target:
            self.caught_up.set()

    async def _consume(self) -> _Consumer:
        info = await self._connection.api(f"STREAM.INFO.{STATUS}", {})
        if "error" in info:
            raise Unavailable(f"JetStream: {STATUS}: {info['error'].get('description')}")
        state = info["state"]
        if state["last_seq"] < self._seen:
            logger.warning("statuses: the stream ends at %d; beginning anew", state["last_seq"])
            self._seen = 0
        if not self.caught_up.is_set():
            # Of an emptied stream nothing is left to wait for.
            self._target = state["last_seq"] if state["messages"] else 0
        name, _ = await create_reader(
            self._connection,
            STATUS,
            {
                "filter_subject": f"{STATUS_PREFIX}.*.*",
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": self._seen + 1,
            },
        )
        return _Consumer(name)


def _decode(message: Msg) -> InstanceStatus | None:
    try:
        key = InstanceKey.of_subject(message.subject)
        return decode_status(message.data, sequence=message.metadata.sequence.stream, key=key)
    except (UnknownFormat, InvalidInput) as error:
        logger.warning("%s: left out: %s", message.subject, error)
        return None
