"""A client of the API server that costs next to nothing, so that a benchmark measures the server and not its client.

Raw HTTP/1.1 over kept-alive TLS: no client library, no JSON parsed, no object built.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

PREFIX = "bench-"
_NAME = re.compile(rb'"name":"(' + PREFIX.encode() + rb'[0-9a-z-]+)"')


class Refused(Exception):
    """The API server answered with something else than 2xx; the text holds it."""


class Address:
    """Where the API server is, and who asks."""

    def __init__(self, url: str, certificate: Path, token: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._peer = (parts.hostname, parts.port)
        self._context = ssl.create_default_context(cafile=str(certificate))
        self.headers = f"Host: {parts.netloc}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"

    def connect(self) -> ssl.SSLSocket:
        connection = socket.create_connection(self._peer)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._context.wrap_socket(connection, server_hostname=self._peer[0])


class Client:
    """One connection, for one thread."""

    def __init__(self, address: Address) -> None:
        self._headers = address.headers
        self._socket = address.connect()
        self._file: IO[bytes] = self._socket.makefile("rb")

    def call(self, verb: str, path: str, body: bytes = b"") -> bytes:
        """The body of the answer. Raises Refused, and OSError when the connection ends."""
        self._send(verb, path, body)
        status, length = self._head()
        answer = self._chunks() if length is None else self._file.read(length)
        if not 200 <= status < 300:
            raise Refused(f"{verb} {path}: {status} {answer.decode(errors='replace')}")
        return answer

    def watch(self, path: str) -> None:
        """Begin a watch; its lines come by chunk(). Raises Refused."""
        self._send("GET", path, b"")
        status, _ = self._head()
        if status != 200:
            raise Refused(f"watch of {path}: {status}")

    def chunk(self) -> bytes:
        """The next part of an answer without a length; empty at its end."""
        size = int(self._file.readline() or b"0", 16)
        return self._file.read(size + 2)[:size]

    def close(self) -> None:
        """From any thread: wakes one that reads."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def _send(self, verb: str, path: str, body: bytes) -> None:
        head = f"{verb} {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)

    def _head(self) -> tuple[int, int | None]:
        """Status and length; no length where chunks follow."""
        first = self._file.readline()
        if not first:
            raise ConnectionError("the API server closed the connection")
        length = None
        while (header := self._file.readline()) not in (b"\r\n", b""):
            if header[:15].lower() == b"content-length:":
                length = int(header[15:])
        return int(first[9:12]), length

    def _chunks(self) -> bytes:
        parts = []
        while part := self.chunk():
            parts.append(part)
        return b"".join(parts)


class Ends:
    """Follows all runs of a namespace by one watch, and tells who waits for the end of one.

    Lines are searched, not parsed. The whole objects are asked for because the API server has encoded them already,
    for the operator's watch; anything smaller it would make for this one alone.
    """

    def __init__(self, address: Address, runs: str) -> None:
        """`runs` is the path of the namespace's runs."""
        self.failures: list[str] = []
        self._waiting: dict[str, threading.Event] = {}
        self._ended: dict[str, float] = {}
        self._client = Client(address)
        # From here on: those that are there already would be sent one by one.
        version = json.loads(self._client.call("GET", f"{runs}?limit=1"))["metadata"]["resourceVersion"]
        self._client.watch(f"{runs}?watch=true&resourceVersion={version}")
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def expect(self, name: str) -> threading.Event:
        """Set once the run of that name has ended; to be asked for before the run is created."""
        event = self._waiting[name] = threading.Event()
        return event

    def when(self, name: str) -> float:
        """When the end was seen, by time.perf_counter()."""
        return self._ended[name]

    def close(self) -> None:
        self._client.close()

    def _follow(self) -> None:
        begun = b""
        try:
            while chunk := self._client.chunk():
                *lines, begun = (begun + chunk).split(b"\n")
                for line in lines:
                    if b'"completionTime":"' in line and (found := _NAME.search(line)):
                        self._end(found[1].decode(), line)
        except (OSError, ValueError):
            pass
        for event in self._waiting.values():
            event.set()

    def _end(self, name: str, line: bytes) -> None:
        if event := self._waiting.pop(name, None):
            self._ended[name] = time.perf_counter()
            if b'"phase":"Complete"' not in line:
                self.failures.append(line.decode(errors="replace")[-2000:])
            event.set()
