"""One connection to NATS, set up so that nothing is written behind the caller's back."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

import nats.errors
from nats.aio.msg import Msg

from workflow_operator import metrics
from workflow_operator.history.errors import Refused, Unavailable
from workflow_operator.jetstream.connect.client import DirectClient, Reply
from workflow_operator.jetstream.connect.inbox import Inbox
from workflow_operator.jetstream.connect.login import ConnectionOptions, refusal
from workflow_operator.jetstream.connect.refusals import Refusals, refusal_of

logger = logging.getLogger(__name__)

Callback = Callable[[], Awaitable[None] | None]

_NO_RESPONDERS = "503"
# What the client raises when nothing answers.
_NO_ANSWER = (nats.errors.Error, OSError, TimeoutError)
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0

# nats-py turns the server's words, and the subject in them, to lower case.
_DENIED = re.compile(r'permissions violation for (?P<what>publish|subscription) to "(?P<subject>[^"]*)"', re.IGNORECASE)
_VERBS = {"publish": "publish to", "subscription": "subscribe to"}


class Connection:
    """A connection that comes back by itself. Make one with :meth:`open`."""

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._client = DirectClient(options)
        self._on_reconnect: list[Callback] = []
        self._replies: dict[str, Reply] = {}
        self._reply_numbers = itertools.count()
        self._reply_prefix = ""
        self._inboxes: dict[str, Inbox] = {}
        self._problem: Unavailable | None = None
        self._told: set[str] = set()
        self._refusals = 0
        self._given_up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._refused_storage = Refusals()
        self.missed = asyncio.Event()
        """Set by whoever finds a consumer gone, for whoever may create it."""

    @classmethod
    async def open(cls, options: ConnectionOptions) -> Self:
        """Connect.

        Raises:
            Refused: servers answer, and none lets us in.
            Unavailable: no server answered in time.
        """
        self = cls(options)
        await self._connect()
        self._keeper = asyncio.create_task(self._keep(), name="nats connection")
        return self

    async def _connect(self) -> None:
        client = DirectClient(self._options)
        self._given_up.clear()
        self._refusals = 0
        connecting = asyncio.create_task(self._log_in(client))
        giving_up = asyncio.create_task(self._given_up.wait())
        try:
            seconds = self._options.connect_timeout_seconds
            await asyncio.wait({connecting, giving_up}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                self._reply_prefix = connecting.result()
                self._client = client
                return
        except Unavailable:
            raise
        except Exception as error:
            # Whatever it is, it must not end who brings the connection back.
            self._note(error)
        finally:
            for task in (connecting, giving_up):
                task.cancel()
            await asyncio.gather(connecting, giving_up, return_exceptions=True)
            if self._client is not client:
                await client.close()
        raise self._problem or Unavailable(f"NATS at {self._options.addresses}: no answer within {seconds} s")

    async def _log_in(self, client: DirectClient) -> str:
        """Connect, and return the prefix of the subjects that answers come to."""
        await client.connect(**self._arguments())
        self._problem = None
        self._refusals = 0
        prefix = client.new_inbox()
        await client.listen(f"{prefix}.*", self._receive)
        # What the server has against the subscription it says before it answers a flush that followed it; the first
        # one overtakes it in nats-py.
        await client.flush()
        await client.flush()
        if self._problem is not None:
            raise self._problem
        return prefix

    async def _keep(self) -> None:
        """Bring back what nats-py gives up. It closes for good when the server ends a login, as after a change of a
        password, and would try a refused one five times a second."""
        while True:
            await self._given_up.wait()
            await self._client.close()
            pause = _FIRST_PAUSE_SECONDS
            while True:
                try:
                    await self._connect()
                    break
                except Unavailable:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await self._reconnected()

    def _arguments(self) -> dict[str, Any]:
        return {
            "servers": list(self._options.servers),
            "name": self._options.name,
            # Without a buffer a publish while disconnected fails at once; with one it would be reported as failed and
            # stored all the same after the reconnect.
            "pending_size": 0,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.2,
            "ping_interval": 5,
            "inbox_prefix": self._options.inbox_prefix,
            "error_cb": self._error,
            "disconnected_cb": self._disconnected,
            "reconnected_cb": self._reconnected,
            "closed_cb": self._closed,
        }

    @property
    def connected(self) -> bool:
        """Whether a server can be talked to now."""
        return self._client.is_connected

    @property
    def problem(self) -> str | None:
        """None while connected, else in one sentence why not, without any secret."""
        return None if self.connected else f"not connected; {self._problem or 'the connection was lost just now'}"

    @property
    def refused(self) -> bool:
        """Whether servers answer and none lets us in, so that somebody must act."""
        return not self.connected and isinstance(self._problem, Refused)

    @property
    def storage_refusal(self) -> str | None:
        """What JetStream refuses to store, and in which words, while the connection is well; None if nothing."""
        return self._refused_storage.words(asyncio.get_running_loop().time()) if self.connected else None

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names or addresses of the servers, with those that the servers have told of."""
        return tuple(url.hostname for url in self._client.servers if url.hostname)

    @property
    def max_payload(self) -> int:
        """Bytes of headers and data that the server takes in one message."""
        return self._client.max_payload

    def on_reconnect(self, callback: Callback) -> None:
        """Have ``callback`` called after every reconnect, and what it returns awaited."""
        self._on_reconnect.append(callback)

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._client.close()

    async def publish(self, subject: str, data: bytes = b"", *, reply: str = "") -> None:
        """Send without an answer.

        Raises:
            Unavailable: not connected.
        """
        if (inbox := self._inboxes.get(reply)) is not None:
            inbox.asked = subject
        with self._unavailable(subject):
            await self._client.publish(subject, data, reply=reply)

    async def request(
        self, subject: str, data: bytes = b"", *, headers: dict[str, str] | None = None, timeout: float = 5.0
    ) -> Msg:
        """Send, and wait for the answer; not longer than the connection lasts.

        Raises:
            Refused: we may not.
            Unavailable: no answer; the request may or may not have had its effect.
        """
        if not self.connected:
            raise _not_connected()
        loop, name = asyncio.get_running_loop(), self._reply_subject()
        reply = self._replies[name] = Reply(subject, loop.create_future())
        expiry = loop.call_later(timeout, reply.expire, timeout)
        try:
            await self._client.publish(subject, data, reply=name, headers=headers)
            message = await reply.future
        except _NO_ANSWER as error:
            raise _unanswered(subject, error) from error
        finally:
            expiry.cancel()
            del self._replies[name]
        nobody = message.headers is not None and message.headers.get("Status") == _NO_RESPONDERS
        self._note_storage(subject, "nobody answers" if nobody else refusal_of(message.data))
        if nobody:
            raise Unavailable(f"NATS {subject}: nobody answers; JetStream is off, starting, or lacks this stream")
        return message

    def _note_storage(self, subject: str, refusal: str | None) -> None:
        if subject.startswith("$JS."):
            return
        if refusal is None:
            self._refused_storage.stored(subject)
        else:
            metrics.STORAGE_REFUSALS.inc()
            self._refused_storage.refused(subject, refusal, asyncio.get_running_loop().time())

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
        """A subject to receive on what must not get lost: the server sees when nobody waits any more.

        Raises:
            Unavailable: not connected.
        """
        inbox = Inbox(self._client.new_inbox())
        with self._unavailable(inbox.subject):
            client = self._client
            subscription = await client.listen(inbox.subject, inbox.receive)
        self._inboxes[inbox.subject] = inbox
        try:
            yield inbox
        finally:
            del self._inboxes[inbox.subject]
            await client.stop_listening(subscription)

    @contextmanager
    def answers(self) -> Iterator[Inbox]:
        """Where the answers to one question come, without a subscription of their own. Late ones are dropped.

        Not for what a consumer delivers, which comes under its own subject.
        """
        inbox = Inbox(self._reply_subject())
        self._inboxes[inbox.subject] = inbox
        try:
            yield inbox
        finally:
            del self._inboxes[inbox.subject]

    def _reply_subject(self) -> str:
        return f"{self._reply_prefix}.{next(self._reply_numbers)}"

    def _receive(self, message: Msg) -> None:
        if (reply := self._replies.get(message.subject)) is not None:
            reply.take(message)
        elif (inbox := self._inboxes.get(message.subject)) is not None:
            inbox.receive(message)

    @contextmanager
    def _unavailable(self, subject: str) -> Iterator[None]:
        """Turn what the client raises when nothing answers into Unavailable."""
        if not self.connected:
            raise _not_connected()
        try:
            yield
        except _NO_ANSWER as error:
            raise _unanswered(subject, error) from error

    def _lose(self) -> None:
        """Nothing that was asked will be answered any more: tell everybody who waits."""
        for inbox in self._inboxes.values():
            inbox.fail(Unavailable("NATS: disconnected"))
        for reply in self._replies.values():
            reply.fail(Unavailable("NATS: disconnected before the answer"))

    async def _error(self, error: Exception) -> None:
        if denied := _DENIED.search(str(error)):
            self._deny(denied["what"].lower(), denied["subject"])
            return
        if self._note(error):
            self._refusals += 1
            if self._refusals >= len(self._options.servers):
                self._given_up.set()

    def _note(self, error: Exception) -> bool:
        """Keep what there is to tell; whether a server refused the login."""
        reason = refusal(error, self._options)
        if reason is None and self._refusals:
            # Who refuses then closes, which tells less; and one that refuses is more to tell than another that is away.
            return False
        kind = Unavailable if reason is None else Refused
        self._problem = kind(f"NATS at {self._options.addresses}: {reason or error or repr(error)}")
        self._tell(str(self._problem))
        return reason is not None

    def _deny(self, what: str, subject: str) -> None:
        """A refused permission is told here only; what was asked for would merely time out."""
        error = Refused(f"NATS: {self._options.login} may not {_VERBS[what]} {subject}")
        self._tell(str(error))
        for reply in self._replies.values():
            if what == "publish" and reply.subject.lower() == subject.lower():
                reply.fail(error)
        for inbox in self._inboxes.values():
            if (inbox.asked if what == "publish" else inbox.subject).lower() == subject.lower():
                inbox.fail(error)
        if what == "subscription" and subject.endswith(".*"):
            self._problem = Refused(f"{error}; the prefix {self._options.inbox_prefix} is not this login's")

    def _tell(self, problem: str) -> None:
        # While no server answers, the client tells of the same errors several times a second. Before the first
        # connection it is raised, for the caller to tell.
        if self._keeper is not None and problem not in self._told:
            self._told.add(problem)
            logger.warning("%s", problem)

    async def _disconnected(self) -> None:
        if not self._client.is_closed:
            logger.warning("NATS: disconnected")
        self._lose()

    async def _reconnected(self) -> None:
        logger.info("NATS: reconnected")
        self._problem = None
        self._refusals = 0
        self._told.clear()
        self._refused_storage.forget()
        for callback in self._on_reconnect:
            try:
                if (work := callback()) is not None:
                    await work
            except Exception:
                logger.exception("NATS: a callback failed after a reconnect")

    async def _closed(self) -> None:
        logger.info("NATS: closed")
        self._lose()
        self._given_up.set()


def _not_connected() -> Unavailable:
    return Unavailable("NATS: not connected")


def _unanswered(subject: str, error: Exception) -> Unavailable:
    return Unavailable(f"NATS {subject}: {error or repr(error)}")
