"""The data bus over JetStream: the history and status streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from uuid import UUID

from workflow_operator import metrics
from workflow_operator.history.commits import Commit, commit_ids, decode_commit, encode_commit, named
from workflow_operator.history.errors import (
    Conflict,
    InvalidInput,
    PayloadTooLarge,
    Terminal,
    Unavailable,
    UnknownFormat,
)
from workflow_operator.history.events import InstanceEvent
from workflow_operator.history.status import InstanceStatus, decode_status, encode_status
from workflow_operator.history.subjects import HISTORY as HISTORY_PREFIX
from workflow_operator.history.subjects import STATUS as STATUS_PREFIX
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.jetstream.connect.answers import OUTDATED, TOO_LARGE, Answer, read_answer
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.headers import (
    EXPECTED_SEQUENCE,
    HISTORY_SEQUENCE,
    PREVIOUS_SEQUENCE,
    STATUS_VALUE,
    read_sequence,
    size,
)
from workflow_operator.jetstream.reads import Stored, direct_batch, last_of_every, leader_next
from workflow_operator.jetstream.streams.topology import HISTORY, STATUS

logger = logging.getLogger(__name__)


# Refusals in a row although nothing follows the expected sequence: another append may be on its way, but not for long.
_MAX_REFUSALS = 10

# Publishes on their way at once. A thousand more would only have the last ones time out.
_WINDOW = 256

# So many are read and decoded before others get their turn.
_BATCH = 250
_STATUS_BATCH = 1000  # the server refuses more than 1024 subjects at once


class JetStreamDataBus:
    """Implements :class:`workflow_operator.history.ports.DataBus`."""

    def __init__(
        self,
        connection: Connection,
        *,
        answer_timeout_seconds: float = 5.0,
        backoff_seconds: Sequence[float] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    ) -> None:
        """``backoff_seconds``: pauses between attempts of an append without an answer; the last one repeats."""
        self._connection = connection
        self._timeout = answer_timeout_seconds
        self._window = asyncio.Semaphore(_WINDOW)
        self._backoff = tuple(backoff_seconds)

    async def push_instance_event(self, event: InstanceEvent, expected: int) -> InstanceEvent:
        (stored,) = await self.append([event], expected)
        return stored

    async def append(self, events: Commit, expected: int) -> list[InstanceEvent]:
        commit = encode_commit(events)
        key, what = events[0].key, named(events)
        headers = {EXPECTED_SEQUENCE: str(expected), PREVIOUS_SEQUENCE: str(expected)}
        self._check_size(f"{what} of instance {key}", commit.data, headers)
        refusals = 0
        for attempt, pause in enumerate(self._pauses()):
            try:
                sequence = await self._append(events, expected, commit.data, headers)
                if sequence is not None:
                    metrics.HISTORY_APPENDS.labels("stored").inc()
                    return commit.stored(events, sequence=sequence, previous=expected)
                refusals += 1
            except Unavailable as error:
                # The connection has told of its loss already; this tells of an instance that it holds up.
                level = logging.WARNING if attempt == len(self._backoff) else logging.DEBUG
                logger.log(level, "%s of %s: no answer, trying again: %s", what, key, error)
            if refusals == _MAX_REFUSALS:
                break
            metrics.HISTORY_APPENDS.labels("repeated").inc()
            await asyncio.sleep(pause)
        metrics.HISTORY_APPENDS.labels("conflict").inc()
        raise Conflict(
            f"instance {key}: {what} expected sequence {expected} to be the last, but the history ends before it; "
            "read the history again and decide anew"
        )

    def _pauses(self) -> Iterator[float]:
        return chain(self._backoff, repeat(self._backoff[-1]))

    async def _append(self, events: Commit, expected: int, data: bytes, headers: dict[str, str]) -> int | None:
        """One attempt: the sequence, or None when it must be repeated as it is."""
        key, mine = events[0].key, [str(event.event_id) for event in events]
        answer = await self._publish(key.history_subject, data, headers)
        if not answer.error:
            return answer.sequence
        if answer.error not in OUTDATED:
            raise _refusal(f"{named(events)} of instance {key}", answer)
        # An earlier attempt may have been stored without its answer reaching us, and others may have followed it.
        last = expected
        while (stored := await self._leader_next(key, last)) is not None:
            if commit_ids(stored.data) == mine:
                return stored.sequence
            last = stored.sequence
        if last != expected:
            metrics.HISTORY_APPENDS.labels("conflict").inc()
            raise Conflict(
                f"instance {key}: {named(events)} expected sequence {expected} to be the last, found {last}; "
                "read the history again and decide anew"
            )
        return None

    async def query_history(self, key: InstanceKey, *, after: int = 0, slim: bool = False) -> list[InstanceEvent]:
        events: list[InstanceEvent] = []
        async for commit in self._commits(key, after, slim):
            events += commit
        return events

    async def read_history(
        self, key: InstanceKey, *, after: int = 0, slim: bool = False
    ) -> AsyncIterator[InstanceEvent]:
        async for commit in self._commits(key, after, slim):
            for event in commit:
                yield event

    async def _commits(self, key: InstanceKey, after: int, slim: bool) -> AsyncIterator[Commit]:
        found = False
        async for stored in self._every(HISTORY, key.history_subject, after=after):
            found = True
            yield _commit(stored, slim)
        # A replica that lags behind must not make a new instance look like one that does not exist.
        while not found and (stored_now := await self._leader_next(key, after)) is not None:
            yield _commit(stored_now, slim)
            after = stored_now.sequence

    async def query_instance_status(
        self, namespace: str | None = None, instance_id: UUID | None = None
    ) -> list[InstanceStatus]:
        if namespace is not None and instance_id is not None:
            return list((await self.query_statuses([InstanceKey(namespace, instance_id)])).values())
        # One that is written meanwhile moves to the end, and is met twice.
        statuses: dict[str, InstanceStatus] = {}
        subject = f"{STATUS_PREFIX}.{namespace or '*'}.{instance_id or '*'}"
        async for message in self._every(STATUS, subject):
            try:
                key = InstanceKey.of_subject(message.subject)
                statuses[message.subject] = decode_status(message.data, sequence=message.sequence, key=key)
            except (UnknownFormat, InvalidInput) as error:
                # One status of a newer release must not hide all the others.
                logger.warning("%s: left out: %s", message.subject, error)
        return list(statuses.values())

    async def query_statuses(self, keys: Sequence[InstanceKey]) -> dict[InstanceKey, InstanceStatus]:
        found: dict[InstanceKey, InstanceStatus] = {}
        async for batch in self.read_statuses(keys):
            for key, status in batch.items():
                if isinstance(status, Terminal):
                    raise status
                found[key] = status
        return found

    async def read_statuses(
        self, keys: Sequence[InstanceKey]
    ) -> AsyncIterator[Mapping[InstanceKey, InstanceStatus | Terminal]]:
        wanted = {key.status_subject: key for key in keys}
        while wanted:
            asked = list(islice(wanted, _STATUS_BATCH))
            batch = await direct_batch(self._connection, STATUS, {"multi_last": asked, "batch": len(asked)})
            yield {
                key: _status(key, stored)
                for stored in batch.messages
                if (key := wanted.pop(stored.subject, None)) is not None
            }
            if batch.complete or not batch.messages:
                for subject in asked:
                    wanted.pop(subject, None)

    async def write_status(self, status: InstanceStatus) -> int:
        data = encode_status(status)
        headers = {
            EXPECTED_SEQUENCE: str(status.sequence),
            HISTORY_SEQUENCE: str(status.history_sequence),
            STATUS_VALUE: status.status.value,
        }
        self._check_size(f"status of instance {status.key}", data, headers)
        answer = await self._publish(status.key.status_subject, data, headers)
        if answer.error in OUTDATED:
            raise Conflict(
                f"status of instance {status.key}: expected sequence {status.sequence} to be the last: "
                f"{answer.description}; read the status again"
            )
        if answer.error:
            raise _refusal(f"status of instance {status.key}", answer)
        return answer.sequence

    async def tails(self) -> AsyncIterator[InstanceKey]:
        """The instances whose status does not stand at the last event of their history, to be folded again.

        Reads the headers of the last event and of the status of every instance: for use after a reconnect.

        Raises:
            Unavailable: the transport does not answer.
        """
        folded: dict[str, int] = {}
        async for message in last_of_every(self._connection, STATUS, f"{STATUS_PREFIX}.*.*", headers_only=True):
            name = message.subject.removeprefix(STATUS_PREFIX)
            try:
                folded[name] = read_sequence(message.headers or {}, HISTORY_SEQUENCE)
            except InvalidInput as error:
                # As one without a header: folding it again does no harm.
                logger.warning("%s, sequence %d: %s", message.subject, message.metadata.sequence.stream, error)
        async for message in last_of_every(self._connection, HISTORY, f"{HISTORY_PREFIX}.*.*", headers_only=True):
            name = message.subject.removeprefix(HISTORY_PREFIX)
            sequence = message.metadata.sequence.stream
            if folded.get(name, 0) == sequence:
                continue
            try:
                key = InstanceKey.of_subject(message.subject)
            except InvalidInput as error:
                logger.warning("history sequence %d: left out: %s", sequence, error)
                continue
            yield key

    async def _every(self, stream: str, subject: str, *, after: int = 0) -> AsyncIterator[Stored]:
        """Every message that matches, in the order of the stream. Needs no right but that to read."""
        complete = False
        while not complete:
            request = {"seq": after + 1, "next_by_subj": subject, "batch": _BATCH}
            batch = await direct_batch(self._connection, stream, request)
            for stored in batch.messages:
                after = stored.sequence
                yield stored
            complete = batch.complete

    async def _leader_next(self, key: InstanceKey, after: int) -> Stored | None:
        return await leader_next(self._connection, HISTORY, key.history_subject, after=after)

    async def _publish(self, subject: str, data: bytes, headers: dict[str, str]) -> Answer:
        async with self._window:
            message = await self._connection.request(subject, data, headers=headers, timeout=self._timeout)
        return read_answer(message.data)

    def _check_size(self, what: str, data: bytes, headers: dict[str, str]) -> None:
        # The server closes the connection for good over a message that is too large.
        total, most = len(data) + size(headers), self._connection.max_payload
        if total > most:
            raise PayloadTooLarge(f"{what}: {total} bytes; the NATS server takes at most {most} in one message")


def _refusal(what: str, answer: Answer) -> Unavailable | PayloadTooLarge:
    if answer.error == TOO_LARGE:
        return PayloadTooLarge(f"{what}: larger than the stream takes: {answer.description}")
    return Unavailable(f"{what}: JetStream refused it: {answer.description} ({answer.error})")


def _commit(stored: Stored, slim: bool) -> list[InstanceEvent]:
    try:
        previous = read_sequence(stored.headers, PREVIOUS_SEQUENCE)
    except InvalidInput as error:
        raise InvalidInput(f"{stored.subject}, history sequence {stored.sequence}: {error}") from error
    key = InstanceKey.of_subject(stored.subject)
    return decode_commit(stored.data, sequence=stored.sequence, previous=previous, key=key, slim=slim)


def _status(key: InstanceKey, stored: Stored) -> InstanceStatus | Terminal:
    try:
        return decode_status(stored.data, sequence=stored.sequence, key=key)
    except (UnknownFormat, InvalidInput) as error:
        return error
