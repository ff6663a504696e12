"""A request of a script, and what came of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # Loaded with the first request: most scripts make none.
    from yarl import URL

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MAX_URL_CHARACTERS: Final = 8192
"""Of a URL as it is sent, and as it is given."""
_MAX_AUTHORITY_CHARACTERS: Final = 512
# Host, port and login: names have 253 characters at most, and to bring a long one into the form of DNS takes long.
_AUTHORITY = re.compile(r"\A(?:[A-Za-z][A-Za-z0-9+.-]*:)?//([^/?#\\]*)")
MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 16 * 1024
"""Of all names and values of a request."""
MAX_TIMEOUT_SECONDS: Final = 60.0
"""A request holds a slot, as a script does that computes, and that may do so for as long."""
MAX_REDIRECTS: Final = 10

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, so that nobody minds a second one: RFC 9110, 9.2.1, without TRACE."""
_REDIRECTS: Final = (301, 302, 303, 307, 308)
# These are the connection's, and with them a script could write requests that are none.
_OURS: Final = frozenset({
    *("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
})  # fmt: skip
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")
_SECRET: Final = frozenset({"authorization", "cookie"})
_OF_A_BODY: Final = frozenset({"content-type", "content-encoding", "content-language", "content-location"})


class InvalidRequest(ValueError):
    """It cannot be sent as it is."""


class NoAnswer(Exception):
    """A request had no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a script asks for. ``timeout_seconds`` is for all of it, redirects included."""

    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes | None = None
    timeout_seconds: float = 30.0
    skip_tls: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """``headers`` by their names in lower case; ``body`` is decoded, as far as Content-Encoding is gzip or deflate."""

    url: str
    status: int
    reason: str
    headers: Mapping[str, Sequence[str]]
    body: bytes
    redirected: bool


def url_of(text: str) -> URL:
    """A URL, or a reference to one, in bounded time.

    Raises:
        InvalidRequest, ValueError: it is none.
    """
    from yarl import URL

    authority = _AUTHORITY.match(text.strip())
    if len(text) > MAX_URL_CHARACTERS or (authority and len(authority[1]) > _MAX_AUTHORITY_CHARACTERS):
        raise InvalidRequest(
            f"expected a URL of at most {MAX_URL_CHARACTERS} characters, {_MAX_AUTHORITY_CHARACTERS} of them for login "
            f"and host, got {_short(text)}"
        )
    return URL(text)


def checked(request: Request) -> Request:
    """The request, if it can be sent.

    Raises:
        InvalidRequest: it cannot; the text says what was expected.
    """
    url = request.url
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidRequest(f"expected an absolute URL of http or https, got {_short(str(url))}")
    if (length := len(str(url))) > MAX_URL_CHARACTERS:
        raise InvalidRequest(f"expected a URL of at most {MAX_URL_CHARACTERS} characters as it is sent, got {length}")
    if request.method not in METHODS:
        raise InvalidRequest(f"expected one of the methods {', '.join(METHODS)}, got {_short(request.method)}")
    _check_headers(request.headers)
    if not 0 < request.timeout_seconds <= MAX_TIMEOUT_SECONDS:
        raise InvalidRequest(
            f"timeout: expected more than 0 and at most {MAX_TIMEOUT_SECONDS:g} seconds, got "
            f"{request.timeout_seconds:g}"
        )
    return request


def _check_headers(headers: Mapping[str, str]) -> None:
    if len(headers) > MAX_HEADERS:
        raise InvalidRequest(f"expected at most {MAX_HEADERS} headers, got {len(headers)}")
    if (size := sum(len(text.encode()) for pair in headers.items() for text in pair)) > MAX_HEADER_BYTES:
        raise InvalidRequest(f"expected at most {MAX_HEADER_BYTES} bytes of headers, got {size}")
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise InvalidRequest(f"expected the name of a header, got {_short(name)}")
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise InvalidRequest(f"the header {name} is set by the connection, leave it out")
        if not _VALUE.fullmatch(value):
            raise InvalidRequest(f"the value of the header {name} holds a control character, such as a line end")


def following(request: Request, status: int, location: str | None) -> Request | None:
    """What to ask for after an answer of this status; None if that was the last one. As browsers do (Fetch, 4.4).

    Raises:
        InvalidRequest: it leads to where no request can go.
    """
    if status not in _REDIRECTS or location is None:
        return None
    try:
        url = request.url.join(url_of(location))
        dropped = set() if url.origin() == request.url.origin() else set(_SECRET)
    except ValueError as error:
        raise InvalidRequest(f"redirected to {_short(location)}: {error}") from error
    method, body = request.method, request.body
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        dropped |= _OF_A_BODY
    kept = {name: value for name, value in request.headers.items() if name.lower() not in dropped}
    return checked(replace(request, url=url.with_user(None), method=method, body=body, headers=kept))


def _short(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
