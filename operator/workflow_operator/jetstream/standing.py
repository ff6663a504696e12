"""Pulling from a durable consumer by a request that waits at the server."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Final

from nats.aio.msg import Msg

from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.inbox import Inbox
from workflow_operator.jetstream.pulling import GRACE_SECONDS, NANOSECONDS, completed, met_larger, nak, refused
from workflow_operator.jetstream.reads import NOTHING_MORE, status_of

# A request that the server lost is missed after this and the grace. An idle consumer costs two messages each time.
EXPIRES_SECONDS: Final = 10.0


class StandingPull:
    """One request for up to ``batch`` messages at a time, which brings them as they come, and is then made anew.

    So a message that comes now and then costs no request, and nobody asks again and again. What came and was not taken
    yet has at most ``max_bytes`` bytes, as the server counts them, or is one larger message. For one taker at a time.
    """

    def __init__(
        self, connection: Connection, stream: str, consumer: str, *, batch: int, max_bytes: int, acked: bool = True
    ) -> None:
        """``acked``: whether the consumer waits for acks, so that what was not taken has to be given back."""
        self._connection = connection
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._batch = batch
        self._max_bytes = max_bytes
        self._acked = acked
        self._opened = AsyncExitStack()
        self._inbox: Inbox | None = None
        self._left = 0
        """How many messages the request that waits at the server may still bring."""
        self._brought = 0
        self._alone = False
        """The next message is larger than a request may bring."""
        self._expires = 0.0
        self._failure: Unavailable | None = None

    async def take(self, timeout_seconds: float) -> list[Msg]:
        """What has come, or the first that comes; empty after the timeout, while the request stays.

        Raises:
            Unavailable: the server does not answer, or the consumer is gone.
        """
        try:
            return await self._take(timeout_seconds)
        except Unavailable:
            await self.leave()
            raise

    async def _take(self, timeout_seconds: float) -> list[Msg]:
        if self._failure is not None:
            raise self._failure
        now = asyncio.get_running_loop().time
        until = now() + timeout_seconds
        taken: list[Msg] = []
        while not taken:
            inbox = await self._asked(now())
            try:
                async with asyncio.timeout(max(0.0, min(until, self._expires) - now())):
                    self._sort(await inbox.next(EXPIRES_SECONDS + GRACE_SECONDS), taken)
            except TimeoutError:
                if now() >= until:
                    break
        while not inbox.empty and self._failure is None:
            try:
                self._sort(await inbox.next(0), taken)
            except Unavailable as error:
                # First what came before it.
                self._failure = error
        return taken

    async def _asked(self, now: float) -> Inbox:
        """Where the answers come: to the request that waits, or else to a new one."""
        if self._left > 0 and now >= self._expires:
            await self.leave()
        if self._inbox is None:
            self._inbox = await self._opened.enter_async_context(self._connection.inbox())
        if self._left <= 0 and self._inbox.empty:
            bound = {"batch": 1} if self._alone else {"batch": self._batch, "max_bytes": self._max_bytes}
            body = json.dumps(bound | {"expires": int(EXPIRES_SECONDS * NANOSECONDS)}).encode()
            await self._connection.publish(self._subject, body, reply=self._inbox.subject)
            self._left, self._brought, self._alone = bound["batch"], 0, False
            self._expires = now + EXPIRES_SECONDS + GRACE_SECONDS
        return self._inbox

    def _sort(self, message: Msg, taken: list[Msg]) -> None:
        status = status_of(message)
        if status is None:
            taken.append(message)
            self._left -= 1
            self._brought += 1
        elif status in NOTHING_MORE:
            self._left = 0
        elif met_larger(message):
            self._left, self._alone = 0, self._brought == 0
        elif not completed(message):
            raise refused(self._connection, self._subject, message)

    async def leave(self) -> None:
        """Ask for nothing more, and give back what came and was not taken."""
        inbox, self._inbox, self._left, self._failure = self._inbox, None, 0, None
        await self._opened.aclose()
        for message in inbox.rest() if inbox is not None and self._acked else ():
            if status_of(message) is None:
                await nak(self._connection, message, 0)
