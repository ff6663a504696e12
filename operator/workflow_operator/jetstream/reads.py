"""Reading from streams: the requests that nats-py has no call for."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from nats.aio.msg import Msg

from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.headers import parse_headers

# A batch larger than this is answered in several parts, of at least one message, so that a reader never has more in
# flight. Asked for again it costs a round trip: 1 ms for each MiB.
BATCH_BYTES = 1024 * 1024
# Statuses of a pull: no messages, and the time is over.
NOTHING_MORE = frozenset({404, 408})
_ANSWER_SECONDS = 5.0
_NO_MESSAGE = 10037
_SEQUENCE = "Nats-Sequence"
_ACK = "$JS.ACK."
_DIGITS = 20
_UNUSED_NANOSECONDS = 30_000_000_000


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as it stands in a stream."""

    subject: str
    sequence: int
    headers: Mapping[str, str]
    data: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    messages: list[Stored]
    complete: bool


def status_of(message: Msg) -> int | None:
    """The status of a message that the server itself sent; None for a stored message."""
    headers = message.headers or {}
    # A stored message may carry any header, a status too. It is known by the subject to ack it on, or, from a direct
    # get, by the header that the server adds.
    if message.data or message.reply.startswith(_ACK) or _SEQUENCE in headers:
        return None
    status = headers.get("Status")
    return int(status) if status and re.fullmatch(r"[0-9]{3}", status) else None


def description_of(message: Msg) -> str:
    text = (message.headers or {}).get("Description", "").split("\r\n")[0].strip()
    # The server sends no words for a subject that nobody listens on.
    return text or "nobody answers: the stream or consumer is missing, or has no leader now"


async def direct_batch(connection: Connection, stream: str, request: Mapping[str, Any]) -> Batch:
    """One batch of a direct get, in the order of the stream. Any replica may answer, so it can lag behind.

    Raises:
        Unavailable: no answer, or part of it was lost.
    """
    messages: list[Stored] = []
    previous = 0
    body = json.dumps({**request, "max_bytes": BATCH_BYTES}).encode()
    with connection.answers() as inbox:
        await connection.publish(f"$JS.API.DIRECT.GET.{stream}", body, reply=inbox.subject)
        while True:
            message = await inbox.next(_ANSWER_SECONDS)
            headers = message.headers or {}
            match status_of(message):
                case None:
                    if _number(headers, "Nats-Last-Sequence") != previous:
                        raise Unavailable(f"JetStream: {stream}: part of a batch was lost")
                    previous = _number(headers, _SEQUENCE)
                    messages.append(Stored(headers.get("Nats-Subject", ""), previous, headers, message.data))
                case 204:
                    return Batch(messages, _number(headers, "Nats-Num-Pending") == 0)
                case 404:
                    return Batch(messages, True)
                case status:
                    raise Unavailable(f"JetStream: {stream}: {status} {description_of(message)}")


def _number(headers: Mapping[str, str], name: str) -> int:
    """A header that the server adds; 0 without it. What was stored may hold one of that name, too."""
    value = headers.get(name, "0")
    return int(value) if value.isdecimal() and len(value) <= _DIGITS else -1


async def leader_next(connection: Connection, stream: str, subject: str, *, after: int) -> Stored | None:
    """The first message of a subject after a sequence, read from the stream's leader, which never lags behind.

    Raises:
        Unavailable: no answer.
    """
    request = {"seq": after + 1, "next_by_subj": subject}
    answer = await connection.api(f"STREAM.MSG.GET.{stream}", request)
    if error := answer.get("error"):
        if error.get("err_code") == _NO_MESSAGE:
            return None
        raise Unavailable(f"JetStream: {stream}: {error.get('description')}")
    try:
        message = answer["message"]
        headers = parse_headers(base64.b64decode(message.get("hdrs", "")))
        return Stored(message["subject"], message["seq"], headers, base64.b64decode(message.get("data", "")))
    except (LookupError, TypeError, ValueError) as error:
        raise Unavailable(f"JetStream: {stream}: an answer that cannot be read: {error!r}") from error


async def create_reader(connection: Connection, stream: str, config: Mapping[str, Any]) -> tuple[str, int]:
    """A throw-away consumer without acks; its name, and how many messages wait for it.

    Raises:
        Unavailable: no answer, or the server refused.
    """
    common = {"ack_policy": "none", "mem_storage": True, "num_replicas": 1, "inactive_threshold": _UNUSED_NANOSECONDS}
    answer = await connection.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": {**common, **config}})
    if error := answer.get("error"):
        raise Unavailable(f"JetStream: {stream}: {error.get('description')}")
    return answer["name"], answer["num_pending"]


async def last_of_every(
    connection: Connection, stream: str, subject: str, *, headers_only: bool = False
) -> AsyncIterator[Msg]:
    """The last message of every subject that matches, as of now, in the order of the stream.

    By a consumer: a direct get is limited to 1024 subjects, and slower. It is left to its threshold of inactivity:
    who may delete consumers could delete those of others.

    Raises:
        Unavailable: no answer, or part of it was lost.
    """
    config = {"filter_subject": subject, "deliver_policy": "last_per_subject", "headers_only": headers_only}
    name, left = await create_reader(connection, stream, config)
    expected = 1
    async with connection.inbox() as inbox:
        while left > 0:
            pulled = min(left, 1000)
            # no_wait: should fewer be left than counted, the server says so instead of waiting for more.
            body = json.dumps({"batch": pulled, "no_wait": True}).encode()
            await connection.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", body, reply=inbox.subject)
            for _ in range(pulled):
                message = await inbox.next(_ANSWER_SECONDS)
                status = status_of(message)
                if status in NOTHING_MORE:
                    # Superseded or removed since they were counted.
                    left = 0
                    break
                if status is not None:
                    raise Unavailable(f"JetStream: {stream}: {status} {description_of(message)}")
                if message.metadata.sequence.consumer != expected:
                    raise Unavailable(f"JetStream: {stream}: part of a listing was lost")
                expected += 1
                yield message
            left -= pulled
