"""One connection to NATS, set up so that nothing is written behind the caller's back."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from workflow_operator.history.errors import Unavailable

logger = logging.getLogger(__name__)

Callback = Callable[[], Awaitable[None]]

_NO_RESPONDERS = "503"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """Where NATS is and how to log in. ``name`` is what `nats server report connections` shows.

    At most one of ``user`` with ``password_file``, ``credentials_file`` (JWT and seed) and ``nkey_seed_file``; these
    files are read again at each login. ``inbox_prefix`` is for permissions that give each role an inbox of its own.
    """

    servers: tuple[str, ...]
    name: str
    user: str | None = None
    password_file: Path | None = None
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
        self._on_reconnect: list[Callback] = []
        self._replies: dict[str, asyncio.Future[Msg]] = {}
        self._reply_numbers = itertools.count()
        self._reply_prefix = ""
        self._inboxes: set[Inbox] = set()
        self._last_error: Exception | None = None

    @classmethod
    async def open(cls, options: ConnectionOptions) -> Self:
        """Connect.

        Raises:
            Unavailable: no server answered in time, or none let us in.
        """
        self = cls(options)
        try:
            async with asyncio.timeout(options.connect_timeout_seconds):
                await self._client.connect(**self._arguments())
                self._reply_prefix = self._client.new_inbox()
                await self._client.subscribe(f"{self._reply_prefix}.*", cb=self._reply)
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
        if options.password_file is not None:
            file = options.password_file
            arguments |= {"user": options.user, "password": lambda: file.read_text().strip()}
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
    def connected(self) -> bool:
        """Whether a server can be talked to now."""
        return self._client.is_connected

    @property
    def problem(self) -> str | None:
        """None while connected, else in one sentence why not. Never holds a secret."""
        if self.connected:
            return None
        return f"not connected: {self._last_error}" if self._last_error else "not connected"

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
        with self._unavailable(subject):
            await self._client.publish(subject, data, reply=reply)

    async def request(
        self, subject: str, data: bytes = b"", *, headers: dict[str, str] | None = None, timeout: float = 5.0
    ) -> Msg:
        """Send, and wait for the answer; not longer than the connection lasts.

        Raises:
            Unavailable: no answer; the request may or may not have had its effect.
        """
        token = str(next(self._reply_numbers))
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._replies[token] = future
        try:
            with self._unavailable(subject):
                await self._client.publish(subject, data, reply=f"{self._reply_prefix}.{token}", headers=headers)
                async with asyncio.timeout(timeout):
                    message = await future
        finally:
            del self._replies[token]
        if message.headers is not None and message.headers.get("Status") == _NO_RESPONDERS:
            raise Unavailable(f"NATS {subject}: nobody answers; JetStream is off, starting, or lacks this stream")
        return message

    async def api(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Call the JetStream API; an answer with ``error`` is returned like any other.

        Raises:
            Unavailable: no answer.
        """
        answer = await self.request(f"$JS.API.{path}", json.dumps(body).encode(), timeout=10.0)
        decoded: dict[str, Any] = json.loads(answer.data)
        return decoded

    @asynccontextmanager
    async def inbox(self) -> AsyncIterator[Inbox]:
        """A subject of our own to receive a number of answers on.

        Raises:
            Unavailable: not connected.
        """
        inbox = Inbox(self._client.new_inbox())
        with self._unavailable(inbox.subject):
            subscription = await self._client.subscribe(inbox.subject, cb=inbox.receive)
        self._inboxes.add(inbox)
        try:
            yield inbox
        finally:
            self._inboxes.discard(inbox)
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

    async def _reply(self, message: Msg) -> None:
        future = self._replies.get(message.subject.rsplit(".", 1)[1])
        if future is not None and not future.done():
            future.set_result(message)

    @contextmanager
    def _unavailable(self, subject: str) -> Iterator[None]:
        """Turn what the client raises when nothing answers into Unavailable."""
        if not self.connected:
            raise Unavailable("NATS: not connected")
        try:
            yield
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise Unavailable(f"NATS {subject}: {error or repr(error)}") from error

    def _lose(self) -> None:
        """Nothing that was asked will be answered any more: tell everybody who waits."""
        for inbox in self._inboxes:
            inbox.lose()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(Unavailable("NATS: disconnected before the answer"))

    async def _error(self, error: Exception) -> None:
        # A refused permission shows up here only; its request merely times out. While no server answers, the client
        # tells of the same refusal several times a second.
        if repr(error) != repr(self._last_error):
            logger.warning("NATS: %s", error or repr(error))
        self._last_error = error

    async def _disconnected(self) -> None:
        if not self._client.is_closed:
            logger.warning("NATS: disconnected")
        self._lose()

    async def _reconnected(self) -> None:
        logger.info("NATS: reconnected")
        self._last_error = None
        for callback in self._on_reconnect:
            try:
                await callback()
            except Exception:
                logger.exception("NATS: a callback failed after a reconnect")

    async def _closed(self) -> None:
        logger.info("NATS: closed")
        self._lose()


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
