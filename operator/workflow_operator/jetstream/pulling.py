"""Pulling from a durable consumer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nats.aio.msg import Msg

from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.inbox import Inbox
from workflow_operator.jetstream.reads import NOTHING_MORE, description_of, status_of

NANOSECONDS = 1_000_000_000
# For the answer of a request to come back, beyond the time that it waits at the server.
GRACE_SECONDS = 2.0
_HEARTBEAT = 100
_CONFLICT = 409
_NOBODY = 503
_COMPLETED = "Batch Completed"
_TOO_LARGE = "Message Size Exceeds MaxBytes"
_NOW = {"no_wait": True}


async def pull(
    connection: Connection,
    stream: str,
    consumer: str,
    limit: int,
    timeout_seconds: float,
    *,
    max_bytes: int | None = None,
) -> list[Msg]:
    """Up to ``limit`` messages: what is there now, or else what comes first within the timeout.

    With ``max_bytes`` no more than these, as the server counts them; but a larger message comes alone.

    Not nats-py's fetch: that waits out the whole timeout for a full batch, and cannot tell an idle queue from a lost
    server. A message that arrived but cannot be returned is handed back at once.

    Raises:
        Unavailable: the server does not answer, or the consumer is gone.
    """
    taken: list[Msg] = []
    done = False
    async with connection.inbox() as inbox:
        puller = _Puller(connection, inbox, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", taken)
        try:
            await puller.take(limit, _NOW, GRACE_SECONDS, max_bytes)
            if puller.met_larger and not taken:
                await puller.take(1, _NOW, GRACE_SECONDS)
            if not taken:
                # One, not more: what the server would send after it nobody would wait for.
                expires = {"expires": int(timeout_seconds * NANOSECONDS)}
                await puller.take(1, expires, timeout_seconds + GRACE_SECONDS)
                left = None if max_bytes is None else max_bytes - sum(len(message.data) for message in taken)
                if taken and limit > 1 and (left is None or left > 0):
                    await puller.take(limit - 1, _NOW, GRACE_SECONDS, left)
            done = True
        except Unavailable:
            if not taken:
                raise
            done = True
        finally:
            if not done:
                for message in [*taken, *inbox.rest()]:
                    if status_of(message) is None:
                        await nak(connection, message, 0)
    return taken


class _Puller:
    def __init__(self, connection: Connection, inbox: Inbox, subject: str, taken: list[Msg]) -> None:
        self._connection = connection
        self._inbox = inbox
        self._subject = subject
        self._taken = taken
        self.met_larger = False
        """The next message was larger than what was left of the bytes."""

    async def take(
        self, count: int, options: Mapping[str, Any], timeout_seconds: float, max_bytes: int | None = None
    ) -> None:
        bound = {} if max_bytes is None else {"max_bytes": max_bytes}
        body = json.dumps({"batch": count, **options, **bound}).encode()
        await self._connection.publish(self._subject, body, reply=self._inbox.subject)
        while count:
            message = await self._inbox.next(timeout_seconds)
            status = status_of(message)
            if status is None:
                self._taken.append(message)
                count -= 1
            elif status in NOTHING_MORE:
                return
            elif met_larger(message):
                self.met_larger = True
                return
            elif status != _HEARTBEAT:
                raise refused(self._connection, self._subject, message)


def met_larger(message: Msg) -> bool:
    """Whether a pull has ended at a message that is larger than what is left of its bytes."""
    return status_of(message) == _CONFLICT and description_of(message) == _TOO_LARGE


def completed(message: Msg) -> bool:
    """Whether a pull with a bound of bytes has brought all that it may, which its messages tell as well."""
    return status_of(message) == _CONFLICT and description_of(message) == _COMPLETED


def refused(connection: Connection, subject: str, message: Msg) -> Unavailable:
    """What to raise for an answer that ends a pull; whoever keeps the consumers hears of one that is gone."""
    status = status_of(message)
    if status == _NOBODY:
        connection.missed.set()
    return Unavailable(f"JetStream: {subject}: {status} {description_of(message)}")


async def nak(connection: Connection, message: Msg, delay_seconds: float) -> None:
    """Give a message back, to be delivered again after the delay. Lost if NATS is away: the ack wait does the same."""
    body = b"-NAK"
    if delay_seconds > 0:
        body += b" " + json.dumps({"delay": int(delay_seconds * NANOSECONDS)}).encode()
    await send(connection, message, body)


async def send(connection: Connection, message: Msg, body: bytes) -> None:
    """Answer a delivery without waiting for the server; a failure only means that it is delivered again."""
    try:
        await connection.publish(message.reply, body)
    except Unavailable:
        return
