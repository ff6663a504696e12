"""Where answers of NATS are waited for."""

from __future__ import annotations

import asyncio

from nats.aio.msg import Msg

from workflow_operator.history.errors import Unavailable


class Inbox:
    """What arrives on one subject, in order. The answers stop for good when the connection is lost."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.asked = ""
        """The subject that was last asked for answers to here."""
        self._messages: asyncio.Queue[Msg | Unavailable] = asyncio.Queue()

    def receive(self, message: Msg) -> None:
        self._messages.put_nowait(message)

    def fail(self, error: Unavailable) -> None:
        self._messages.put_nowait(error)

    @property
    def empty(self) -> bool:
        """Whether :meth:`next` would wait."""
        return self._messages.empty()

    async def next(self, timeout_seconds: float) -> Msg:
        """The next message.

        Raises:
            Refused: we may not ask, or not have answers.
            Unavailable: none came in time, or the connection was lost.
        """
        if self._messages.empty():
            try:
                async with asyncio.timeout(timeout_seconds):
                    message = await self._messages.get()
            except TimeoutError as error:
                raise Unavailable(f"NATS: no answer within {timeout_seconds} s") from error
        else:
            message = self._messages.get_nowait()
        if isinstance(message, Unavailable):
            raise message
        return message

    def rest(self) -> list[Msg]:
        """What has arrived and nobody took."""
        left = [self._messages.get_nowait() for _ in range(self._messages.qsize())]
        return [message for message in left if not isinstance(message, Unavailable)]
