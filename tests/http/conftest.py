"""Servers of HTTP on loopback that say what a test has them say."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

Speak = Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]


class Asked:
    """One request, as it came."""

    def __init__(self, head: str, body: bytes) -> None:
        first, *lines = head.split("\r\n")
        self.method, self.target, _ = first.split(" ")
        named = (line.partition(":") for line in lines if line)
        self.headers = {name.lower(): value.strip() for name, _, value in named}
        self.body = body


class Server:
    """Answers with what ``speak`` writes; ``asked`` keeps what came."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.speak: Speak = saying(b"ok")
        self.url = ""
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, address: str, secure: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, address, 0, ssl=secure)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if secure else ''}://{address if ':' not in address else f'[{address}]'}:{self.port}"

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            asked = Asked(head, b"")
            asked.body = await reader.readexactly(int(asked.headers.get("content-length", 0)))
            self.asked.append(asked)
            await self.speak(asked, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def saying(body: bytes, *headers: str, status: str = "200 OK") -> Speak:
    async def speak(_: Asked, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode("latin-1") + body)

    return speak


def leading_to(location: str, status: str = "302 Found") -> Speak:
    return saying(b"", f"Location: {location}", status=status)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """At 127.0.0.1, which the tests allow."""
    made = Server()
    await made.start("127.0.0.1")
    yield made
    made.close()


@pytest.fixture
async def inside() -> AsyncIterator[Server]:
    """At 127.0.0.2, which nobody allows."""
    made = Server()
    await made.start("127.0.0.2")
    yield made
    made.close()
