"""Sends the requests of scripts: each over a connection of its own, to addresses that the rules let through."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from workflow_operator.http.body import ACCEPTED, BadBody, Body, TooLarge
from workflow_operator.http.egress import Egress
from workflow_operator.http.names import Names
from workflow_operator.http.request import MAX_REDIRECTS, Answer, InvalidRequest, NoAnswer, Request, following

logger = logging.getLogger(__name__)

_OWN_SECONDS = 30.0
# Of Debian and Alpine, and of Fedora.
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class HttpClient:
    """One for a process.

    Args:
        egress: which addresses are refused.
        own: gives names or addresses of the servers that the operator itself uses, now and then.
        resolver: finds the addresses of names for a namespace; the system's, unless a test has another.
    """

    def __init__(
        self,
        egress: Egress,
        own: Callable[[], Iterable[str]] = tuple,
        resolver: Callable[[str], AbstractResolver] | None = None,
    ) -> None:
        self._egress = egress
        self._names = Names()
        self._resolver = resolver or self._names.of
        self._own = _Addresses(own, self._resolver)
        self._verifying = verifying(os.environ)

    def close(self) -> None:
        self._names.close()

    async def send(self, request: Request, namespace: str, max_bytes: int) -> Answer:
        """The last answer, behind redirects; its body has at most ``max_bytes``.

        Raises:
            NoAnswer: no connection, no HTTP, out of time, or refused by the rules.
            InvalidRequest: it, or where it is redirected to, is no request.
            TooLarge: there is more of the body.
        """
        try:
            async with asyncio.timeout(request.timeout_seconds):
                own = await self._own.known()
                redirects = 0
                while True:
                    answer, then = await self._once(request, namespace, max_bytes, own, redirects > 0)
                    if then is None:
                        return answer
                    redirects += 1
                    if redirects > MAX_REDIRECTS:
                        raise NoAnswer(f"redirected more than {MAX_REDIRECTS} times, at last to {then.url}")
                    request = then
        except TimeoutError:
            raise NoAnswer(f"no whole answer within {request.timeout_seconds:g} seconds (timeout)") from None

    async def _once(
        self, request: Request, namespace: str, max_bytes: int, own: Collection[str], redirected: bool
    ) -> tuple[Answer, Request | None]:
        gate = _Gate(self._egress, namespace, request.url.host or "", own)
        try:
            async with aiohttp.ClientSession(
                connector=self._connector(request, namespace, gate),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type", "Accept"),
            ) as session:
                headers = {"User-Agent": "workflow-operator", "Accept": "*/*", "Accept-Encoding": ACCEPTED}
                async with session.request(
                    request.method,
                    request.url,
                    headers=_merged(headers, request.headers),
                    data=request.body,
                    allow_redirects=False,
                ) as response:
                    then = following(request, response.status, response.headers.get("Location"))
                    wanted = then is None and request.method != "HEAD"
                    return await _read(request, response, max_bytes if wanted else None, redirected), then
        except (InvalidRequest, TooLarge):
            raise
        except Exception as error:
            # Whatever a server makes of HTTP, it must not be taken for a fault of the executor.
            if not isinstance(error, aiohttp.ClientError | OSError | BadBody | ValueError):
                logger.exception("a request to %s failed in an unknown way", request.url.host)
            raise NoAnswer(gate.refusal or _said(error)) from error

    def _connector(self, request: Request, namespace: str, gate: _Gate) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            resolver=self._resolver(namespace),
            use_dns_cache=False,
            socket_factory=gate.socket,
            # Of nobody else, and used once: what one namespace was let through to, another one is not.
            force_close=True,
            ssl=False if request.skip_tls else self._verifying,
        )


async def _read(request: Request, response: aiohttp.ClientResponse, max_bytes: int | None, redirected: bool) -> Answer:
    """The answer to a request; without its body where ``max_bytes`` is None."""
    body = Body(max_bytes or 0, response.headers.get("Content-Encoding", ""))
    if max_bytes is not None:
        async for chunk in response.content.iter_any():
            body.feed(chunk)
    left_out = {"content-encoding", "content-length"} if body.decodes else set()
    named: dict[str, list[str]] = {}
    for name, value in response.headers.items():
        if name.lower() not in left_out:
            named.setdefault(name.lower(), []).append(value)
    url = str(request.url.with_user(None).with_fragment(None))
    return Answer(url, response.status, response.reason or "", named, body.done(), redirected)


def verifying(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Trusts the system's authorities: those that the environment names to OpenSSL, or the bundle of the distribution,
    which OpenSSL finds only beside links that a small image does not have."""
    context = ssl.create_default_context()
    if not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & environ.keys():
        for bundle in filter(os.path.exists, _BUNDLES):
            context.load_verify_locations(bundle)
    return context


class _Gate:
    """Makes the sockets of one request: for each address that is connected to, whatever it was found by."""

    def __init__(self, egress: Egress, namespace: str, host: str, own: Collection[str]) -> None:
        self._egress = egress
        self._namespace = namespace
        self._host = host
        self._own = own
        self.refusal: str | None = None

    def socket(self, info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        refusal = self._egress.refusal(self._namespace, self._host, address[0], self._own)
        if refusal is not None:
            self.refusal = refusal
            raise OSError(refusal)
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


class _Addresses:
    """The addresses of some names, looked up again when they are old."""

    def __init__(self, names: Callable[[], Iterable[str]], resolver: Callable[[str], AbstractResolver]) -> None:
        self._names = names
        self._resolver = resolver
        self._found: dict[str, frozenset[str]] = {}
        self._until: float | None = None
        self._first = asyncio.Lock()

    async def known(self) -> frozenset[str]:
        """What a name had last counts for as long as it is not found."""
        if self._until is None:
            # Nobody gets past before they are known, not even behind one whose time ran out over it.
            async with self._first:
                if self._until is None:
                    await self._look()
                    self._until = time.monotonic() + _OWN_SECONDS
        elif time.monotonic() >= self._until:
            # One looks; the others go by what was known.
            self._until = time.monotonic() + _OWN_SECONDS
            await self._look()
        return frozenset().union(*self._found.values())

    async def _look(self) -> None:
        names = tuple(dict.fromkeys(filter(None, self._names())))
        found = await asyncio.gather(*map(self._look_up, names))
        known = {name: addresses for name, addresses in zip(names, found, strict=True) if addresses}
        self._found = {name: self._found[name] for name in names if name in self._found} | known

    async def _look_up(self, name: str) -> frozenset[str]:
        try:
            return frozenset({each["host"] for each in await self._resolver("").resolve(name, 0, socket.AF_UNSPEC)})
        except OSError:
            return frozenset()


def _merged(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """A script's headers in place of those with the same name."""
    named = {name.lower() for name in theirs}
    return {**{name: value for name, value in ours.items() if name.lower() not in named}, **theirs}


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
