"""nats-py's client, with each message handed on where it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.connect.headers import parse_headers
from workflow_operator.jetstream.connect.login import ConnectionOptions, LoginClient


@dataclass(slots=True)
class Reply:
    """An answer that somebody waits for, and the subject that was asked."""

    subject: str
    future: asyncio.Future[Msg]

    def take(self, message: Msg) -> None:
        if not self.future.done():
            self.future.set_result(message)

    def fail(self, error: Unavailable) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self, seconds: float) -> None:
        self.fail(Unavailable(f"NATS {self.subject}: no answer within {seconds:g} s"))


class DirectClient(LoginClient):
    """Without the queue and the task that nats-py has between the socket and whoever subscribed.

    They, and its reading of headers, would be a fourth of what an answer costs.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        super().__init__(options)
        self._receivers: dict[Subscription, Callable[[Msg], None]] = {}

    async def listen(self, subject: str, receive: Callable[[Msg], None]) -> Subscription:
        """Have ``receive`` called with each message for a subject that nobody knows yet. It must not raise."""
        subscription = await self.subscribe(subject)
        self._receivers[subscription] = receive
        return subscription

    async def stop_listening(self, subscription: Subscription) -> None:
        del self._receivers[subscription]
        with suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        # Private to nats-py, whose version is pinned.
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        subscription = self._subs.get(sid)
        if subscription is not None and (receive := self._receivers.get(subscription)) is not None:
            # Whoever may publish may choose the bytes of a subject.
            subjects = subject.decode(errors="replace"), reply.decode(errors="replace")
            receive(Msg(self, *subjects, data, parse_headers(headers) if headers else None))
