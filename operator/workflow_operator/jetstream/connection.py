"""One connection to NATS, set up so that nothing is written behind the caller's back."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from workflow_operator.history.errors import Unavailable

logger = logging.getLogger(__name__)

Callback = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """Where NATS is and how to log in. ``name`` is what `nats server report connections` shows.

    At most one of ``credentials_file`` (JWT and seed) and ``nkey_seed_file``. ``inbox_prefix`` is for accounts whose
    permissions give each role an inbox of its own.
    """

    servers: tuple[str, ...]
    name: str
    credentials_file: Path | None = None
    nkey_seed_file: Path | None = None
    tls_ca_file: Path | None = None
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    inbox_prefix: str = "_INBOX"
    connect_timeout_seconds: float = 10.0


class Connection:
    """A connection that comes back by itself. Make one with :meth:`open`."""

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._client = Client()
        self._js = JetStreamContext(self._client)
        self._on_reconnect: list[Callback] = []
        self._inboxes: set[Inbox] = set()
        self._last_error: Exception | None = None

    @classmethod
    async def open(cls, options: ConnectionOptions) -> Connection:
        """Connect.

        Raises:
            Unavailable: no server answered in time, or none let us in.
        """
        self = cls(options)
        try:
            async with asyncio.timeout(options.connect_timeout_seconds):
                await self._client.connect(**self._arguments())
        except (TimeoutError, OSError, nats.errors.Error) as error:
            await self._client.close()
            raise Unavailable(
                f"NATS at {', '.join(options.servers)}: not connected after {options.connect_timeout_seconds} s "
                f"(last error: {self._last_error or error!r}); check the address, credentials and TLS settings"
            ) from error
        return self

    def _arguments(self) -> dict[str, Any]:
        options = self._options
        arguments: dict[str, Any] = {
            "servers": list(options.servers),
            "name": options.name,
            # Without a buffer a publish while disconnected fails at once; with one it would be reported as failed and
            # stored all the same after the reconnect.
            "pending_size": 0,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.2,
            "ping_interval": 5,
            "inbox_prefix": options.inbox_prefix,
            "error_cb": self._error,
            "disconnected_cb": self._disconnected,
            "reconnected_cb": self._reconnected,
            "closed_cb": self._closed,
        }
        if options.credentials_file is not None:
            arguments["user_credentials"] = str(options.credentials_file)
        if options.nkey_seed_file is not None:
            arguments["nkeys_seed"] = str(options.nkey_seed_file)
        if options.tls_ca_file is not None or options.tls_certificate_file is not None:
            context = ssl.create_default_context(cafile=options.tls_ca_file)
            if options.tls_certificate_file is not None:
                context.load_cert_chain(options.tls_certificate_file, options.tls_key_file)
            arguments["tls"] = context
        return arguments

    @property
    def js(self) -> JetStreamContext:
        return self._js

    @property
    def connected(self) -> bool:
        """Whether a server can be talked to now."""
        return self._client.is_connected

    @property
    def max_payload(self) -> int:
        """Bytes of headers and data that the server takes in one message."""
        return self._client.max_payload

    def on_reconnect(self, callback: Callback) -> None:
        """Have ``callback`` awaited after every reconnect."""
        self._on_reconnect.append(callback)

    async def close(self) -> None:
        await self._client.close()

    async def publish(self, subject: str, data: bytes = b"", *, reply: str = "") -> None:
        """Send without an answer.

        Raises:
            Unavailable: not connected.
        """
        with _unavailable(subject):
            await self._client.publish(subject, data, reply=reply)

    async def request(
        self, subject: str, data: bytes = b"", *, headers: dict[str, str] | None = None, timeout: float = 5.0
    ) -> Msg:
        """Send, and wait for the answer.

        Raises:
            Unavailable: no answer; the request may or may not have had its effect.
        """
        with _unavailable(subject):
            return await self._client.request(subject, data, timeout=timeout, headers=headers)

    @asynccontextmanager
    async def inbox(self) -> AsyncIterator[Inbox]:
        """A subject of our own to receive a number of answers on.

        Raises:
            Unavailable: not connected.
        """
        inbox = Inbox(self._client.new_inbox())
        if not self.connected:
            raise Unavailable("NATS: not connected")
        with _unavailable(inbox.subject):
            subscription = await self._client.subscribe(inbox.subject, cb=inbox.receive)
        self._inboxes.add(inbox)
        try:
            yield inbox
        finally:
            self._inboxes.discard(inbox)
            if not self._client.is_closed:
                await subscription.unsubscribe()

    async def _error(self, error: Exception) -> None:
        # A refused permission shows up here only; its request merely times out.
        self._last_error = error
        logger.warning("NATS: %s", error or repr(error))

    async def _disconnected(self) -> None:
        logger.warning("NATS: disconnected")
        for inbox in self._inboxes:
            inbox.lose()

    async def _reconnected(self) -> None:
        logger.info("NATS: reconnected")
        for callback in self._on_reconnect:
            try:
                await callback()
            except Exception:
                logger.exception("NATS: a callback failed after a reconnect")

    async def _closed(self) -> None:
        logger.info("NATS: closed")
        for inbox in self._inboxes:
            inbox.lose()


class Inbox:
    """What arrives on one subject, in order. The answers stop for good when the connection is lost."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self._messages: asyncio.Queue[Msg | None] = asyncio.Queue()

    async def receive(self, message: Msg) -> None:
        self._messages.put_nowait(message)

    def lose(self) -> None:
        self._messages.put_nowait(None)

    async def next(self, timeout_seconds: float) -> Msg:
        """The next message.

        Raises:
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
        if message is None:
            raise Unavailable("NATS: disconnected")
        return message

    def rest(self) -> list[Msg]:
        """What has arrived and nobody took."""
        left = [self._messages.get_nowait() for _ in range(self._messages.qsize())]
        return [message for message in left if message is not None]


class _unavailable:  # noqa: N801 - reads as a statement
    """Turn what the client raises when nothing answers into Unavailable."""

    def __init__(self, subject: str) -> None:
        self._subject = subject

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, nats.errors.Error | OSError | TimeoutError):
            raise Unavailable(f"NATS {self._subject}: {error or repr(error)}") from error


def unavailable(subject: str) -> _unavailable:
    """``with unavailable("what"): await js.call()``: see :class:`_unavailable`."""
    return _unavailable(subject)
