"""The HTTP session that kopf lists and watches with: what it parses is the sightings, not the objects.

kopf parses each answer whole. Here every answer goes through :mod:`workflow_operator.resources.sighting` first, so that
an object of any size costs its bytes for a moment, and nothing after that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, Final, NamedTuple

import kopf
import msgspec
from aiohttp import ClientPayloadError, ClientResponse, ClientSession, StreamReader, TCPConnector

from workflow_operator.handlers.listing import read_on
from workflow_operator.resources.names import PLURAL, SIGNAL_PLURAL
from workflow_operator.resources.sighting import watch_event

logger = logging.getLogger(__name__)

MAX_LINE_BYTES: Final = 8 * 1024 * 1024
"""One event of a watch. etcd takes objects of 1.5 MiB, and JSON can need a few times that for the same text."""

QUIET_SECONDS: Final = 65.0
"""The API server sends a bookmark each 60 s. A watch that says nothing for longer may hide what has happened."""

_LIST_AGAIN: Final = b'{"type": "ERROR", "object": {"kind": "Status", "code": 410}}\n'

_WATCHED: Final = (f"/{PLURAL}", f"/{SIGNAL_PLURAL}")


class Listener(NamedTuple):
    """Who is told of what comes, before kopf is: all in the thread of the watch."""

    heard: Callable[[str], None]
    """Called with the path of a watch whenever the API server has said something: an event, a bookmark, a page."""
    listed: Callable[[str], None]
    """Called with the path of a watch when its list has been read to the end."""
    over: Callable[[list[dict[str, Any]]], None]
    """Called with the sightings of those runs in a list that are over; kopf is not told of them."""
    appeared: Callable[[dict[str, Any], memoryview], None]
    """Called with the sighting of an object that was created while we watched, and its JSON, which it must copy."""
    knows: Callable[[dict[str, Any]], bool]
    """Called with the sighting of an object that has changed: whether that is known, so that nobody need be told."""
    unknown: Callable[[str], None]
    """Called with the path of a list or watch that is answered 404: there is no such kind of object (any more)."""


def slim_session(info: kopf.ConnectionInfo, listener: Listener) -> kopf.AiohttpSession:
    """A session for the same server and the same login.

    Each is unlike every other, so that kopf tries a login again that was refused once.
    """

    class Response(_SlimResponse):
        told = listener

    session = ClientSession(
        connector=TCPConnector(limit=0, ssl=info.as_ssl_context()),
        # The API server would compress a page of a list, which takes both sides longer than to send it.
        headers={**info.as_http_headers(), "Accept-Encoding": "identity"},
        response_class=Response,
        proxy=info.proxy_url,
        trust_env=info.trust_env,
    )
    Response.client = session
    return kopf.AiohttpSession(server=info.server, default_namespace=info.default_namespace, aiohttp_session=session)


class _SlimResponse(ClientResponse):
    """An answer about runs, as sightings; any other as it is."""

    told: Listener
    client: ClassVar[ClientSession]

    async def start(self, connection: Any) -> ClientResponse:
        await super().start(connection)
        if self.status == 404 and self.url.path.endswith(_WATCHED):
            self.told.unknown(self.url.path)
        if self._about_runs and "watch" in self.url.query:
            self.content = _Lines(self.content, self.told, self.url.path)  # type: ignore[assignment]
        return self

    async def json(self, **options: Any) -> Any:
        if not self._about_runs:
            return await super().json(**options)
        body = await self.read()
        # As large as all the objects in it.
        self._body = None
        return await read_on(body, self.url, self.client.get, self.told)

    @property
    def _about_runs(self) -> bool:
        return self.status == 200 and self.url.path.endswith(f"/{PLURAL}")


class _Lines:
    """The body of a watch: events as they come, each as a sighting on a line of its own."""

    def __init__(self, content: StreamReader, listener: Listener, path: str) -> None:
        self._content = content
        self._listener = listener
        self._path = path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = bytearray()
        chunks = self._content.iter_chunked(size)
        while True:
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                break
            except TimeoutError:
                # A new watch would say as little for another minute; a list tells at once what was missed.
                logger.warning("the watch has said nothing for %g s; listing all runs anew", QUIET_SECONDS)
                yield _LIST_AGAIN
                return
            *lines, last = chunk.split(b"\n")
            if lines:
                lines[0] = bytes(rest) + lines[0]
                rest = bytearray()
            rest += last
            if len(rest) > MAX_LINE_BYTES:
                raise ClientPayloadError(f"an event of more than {MAX_LINE_BYTES} bytes in the watch")
            for line in filter(None, lines):
                self._listener.heard(self._path)
                if (slim := slim_line(line, self._listener)) is not None:
                    yield slim
        if rest:
            # Half an event is none. kopf takes up the watch again where the last whole one stood.
            raise ClientPayloadError(f"the watch was cut in the middle of an event, after {len(rest)} bytes of it")


def slim_line(line: bytes, listener: Listener) -> bytes | None:
    """One event of a watch with a sighting in place of its object; None if that tells nothing new.

    None also if it cannot be read, which is logged: one object must not stop the watch of all others.
    """
    try:
        seen = watch_event(line)
        if seen.kind == "ADDED":
            listener.appeared(seen.object, seen.text)
        elif seen.kind == "MODIFIED" and listener.knows(seen.object):
            return None
        return msgspec.json.encode({"type": seen.kind, "object": seen.object}) + b"\n"
    except Exception as error:
        logger.error("left out an event of the watch, %r: %s", line[:200], error)
        return None
