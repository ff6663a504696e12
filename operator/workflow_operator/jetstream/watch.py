"""Following the statuses of all instances: what is written from now on, and what goes on already."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from nats.aio.msg import Msg

from workflow_operator.history.errors import InvalidInput, Unavailable, UnknownFormat, WorkflowError
from workflow_operator.history.status import InstanceStatus, StatusValue, decode_status
from workflow_operator.history.subjects import STATUS as STATUS_PREFIX
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.headers import STATUS_VALUE
from workflow_operator.jetstream.reads import create_reader, last_of_every
from workflow_operator.jetstream.standing import StandingPull
from workflow_operator.jetstream.streams.topology import STATUS

logger = logging.getLogger(__name__)

_BATCH = 500
_BATCH_BYTES = 1024 * 1024
# A status may hold a script and three values: some hundred kilobytes.
_READ_AT_ONCE = 32
_PULL_SECONDS = 5.0
_PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class _Consumer:
    pull: StandingPull
    delivered: int = 0


class StatusWatcher:
    """Every status that is written from now on; and, apart from that, those of the instances that go on already.

    Of several statuses of an instance in quick succession only the last may be seen. Resumes by itself, from where it
    was, after the loss of the connection, the server or the consumer.
    """

    def __init__(self, connection: Connection, bus: JetStreamDataBus) -> None:
        self._connection = connection
        self._bus = bus
        self._seen: int | None = None
        self._written: set[InstanceKey] | None = None
        self._to_scan = asyncio.Event()
        self.begun = asyncio.Event()
        """Set once nothing that is written can be missed any more."""
        self.scanned = asyncio.Event()
        """Set once all that goes on has been handled."""

    async def statuses(self) -> AsyncIterator[InstanceStatus]:
        """What is written from now on, without end. For one reader at a time."""
        while True:
            try:
                consumer = await self._consume()
                self.begun.set()
                try:
                    async for status in self._delivered(consumer):
                        yield status
                finally:
                    await consumer.pull.leave()
            except WorkflowError as error:
                logger.warning("statuses: resuming after sequence %s: %s", self._seen, error)
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception:
                logger.exception("statuses: resuming after sequence %s", self._seen)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _delivered(self, consumer: _Consumer) -> AsyncIterator[InstanceStatus]:
        """What a consumer delivers, until something of it was lost on its way, which is not sent twice."""
        while True:
            for message in await consumer.pull.take(_PULL_SECONDS):
                sequence = message.metadata.sequence
                if sequence.consumer != consumer.delivered + 1:
                    return
                consumer.delivered = sequence.consumer
                status = _decode(message)
                if status is not None:
                    if self._written is not None:
                        self._written.add(status.key)
                    yield status
                self._seen = sequence.stream

    async def pending(self) -> AsyncIterator[InstanceStatus]:
        """The instances that are not over, as far as :meth:`statuses` has not told of them since; again, all of them,
        whenever the stream was made anew. Without end, beside it.

        Reads a header of each status, and the whole of those that go on. Those that a release wrote that had no such
        header are read too.
        """
        while True:
            await self.begun.wait()
            await self._to_scan.wait()
            self._to_scan.clear()
            self._written = set()
            try:
                async for status in self._scan():
                    yield status
                self.scanned.set()
            except WorkflowError as error:
                logger.warning("pending instances: looked for again: %s", error)
                self._to_scan.set()
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception:
                logger.exception("pending instances: looked for again")
                self._to_scan.set()
                await asyncio.sleep(_PAUSE_SECONDS)
            finally:
                self._written = None

    async def _scan(self) -> AsyncIterator[InstanceStatus]:
        keys: list[InstanceKey] = []
        async for message in last_of_every(self._connection, STATUS, f"{STATUS_PREFIX}.*.*", headers_only=True):
            if (message.headers or {}).get(STATUS_VALUE, StatusValue.PENDING) != StatusValue.PENDING:
                continue
            try:
                keys.append(InstanceKey.of_subject(message.subject))
            except InvalidInput as error:
                logger.warning("%s: left out: %s", message.subject, error)
        for start in range(0, len(keys), _READ_AT_ONCE):
            for status in await self._read(keys[start : start + _READ_AT_ONCE]):
                # What was written meanwhile may be newer than what was read.
                if not status.terminal and status.key not in (self._written or ()):
                    yield status

    async def _read(self, keys: Sequence[InstanceKey]) -> list[InstanceStatus]:
        try:
            return list((await self._bus.query_statuses(keys)).values())
        except (UnknownFormat, InvalidInput) as error:
            if len(keys) == 1:
                logger.warning("%s: left out: %s", keys[0], error)
                return []
        # One that cannot be read must not hide the others.
        return [status for key in keys for status in await self._read([key])]

    async def _consume(self) -> _Consumer:
        info = await self._connection.api(f"STREAM.INFO.{STATUS}", {})
        if "error" in info:
            raise Unavailable(f"JetStream: {STATUS}: {info['error'].get('description')}")
        last: int = info["state"]["last_seq"]
        if self._seen is None or last < self._seen:
            if self._seen is not None:
                logger.warning("statuses: the stream ends at %d; beginning anew", last)
            self._seen = last
            self._to_scan.set()
        name, _ = await create_reader(
            self._connection,
            STATUS,
            {
                "filter_subject": f"{STATUS_PREFIX}.*.*",
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": self._seen + 1,
            },
        )
        return _Consumer(
            StandingPull(self._connection, STATUS, name, batch=_BATCH, max_bytes=_BATCH_BYTES, acked=False)
        )


def _decode(message: Msg) -> InstanceStatus | None:
    try:
        key = InstanceKey.of_subject(message.subject)
        return decode_status(message.data, sequence=message.metadata.sequence.stream, key=key)
    except (UnknownFormat, InvalidInput) as error:
        logger.warning("%s: left out: %s", message.subject, error)
        return None
