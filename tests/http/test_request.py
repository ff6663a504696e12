"""What can be sent, and what follows a redirect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from yarl import URL

from workflow_operator.http import InvalidRequest, Request, checked
from workflow_operator.http.request import following

GET = Request("GET", URL("https://a.org/x"), {})
POST = Request(
    "POST",
    URL("https://a.org/x"),
    {"Content-Type": "application/json", "Authorization": "b", "Cookie": "c", "X": "d"},
    b"1",
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"url": URL("ftp://a.org")}, "an absolute URL of http or https"),
        ({"url": URL("file:///etc/passwd")}, "an absolute URL of http or https"),
        ({"url": URL("/x")}, "an absolute URL of http or https"),
        ({"url": URL("http:///x")}, "an absolute URL of http or https"),
        ({"method": "TRACE"}, "one of the methods"),
        ({"method": "GET / HTTP/1.1\r\nX: y"}, "one of the methods"),
        ({"headers": {"A b": "c"}}, "the name of a header"),
        ({"headers": {"": "c"}}, "the name of a header"),
        ({"headers": {"A": "b\r\nC: d"}}, "holds a control character"),
        ({"headers": {"A": "b\0"}}, "holds a control character"),
        ({"headers": {"Host": "b"}}, "is set by the connection"),
        ({"headers": {"transfer-ENCODING": "chunked"}}, "is set by the connection"),
        ({"headers": {"Proxy-Authorization": "b"}}, "is set by the connection"),
        ({"headers": {f"A{number}": "" for number in range(65)}}, "at most 64 headers, got 65"),
        ({"headers": {"A": "b" * 17_000}}, "at most 16384 bytes of headers, got 17001"),
        ({"timeout_seconds": 0}, "timeout"),
        ({"timeout_seconds": 61}, "at most 60 seconds, got 61"),
        ({"timeout_seconds": float("nan")}, "timeout"),
    ],
)
def test_what_cannot_be_sent(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidRequest, match=expected):
        checked(replace(GET, **changes))


@pytest.mark.parametrize(
    ("request_", "status", "location", "expected"),
    [
        (GET, 200, "https://b.org", None),
        (GET, 302, None, None),
        (GET, 304, "/y", None),
        (GET, 302, "/y", ("GET", "https://a.org/y")),
        (POST, 302, "/y", ("GET", "https://a.org/y")),
        (POST, 303, "y", ("GET", "https://a.org/y")),
        (POST, 307, "/y", ("POST", "https://a.org/y")),
        (POST, 308, "https://b.org/", ("POST", "https://b.org/")),
        (replace(POST, method="PUT"), 302, "/y", ("PUT", "https://a.org/y")),
        (replace(GET, method="HEAD"), 303, "/y", ("HEAD", "https://a.org/y")),
        (GET, 302, "https://user:word@b.org/", ("GET", "https://b.org/")),
    ],
)
def test_what_follows(request_: Request, status: int, location: str | None, expected: tuple[str, str] | None) -> None:
    then = following(request_, status, location)
    assert (None if then is None else (then.method, str(then.url))) == expected


def test_what_is_left_of_the_headers() -> None:
    there = following(POST, 307, "https://a.org/y")
    elsewhere = following(POST, 307, "https://b.org/y")
    other_port = following(POST, 307, "https://a.org:8443/y")
    insecure = following(POST, 307, "http://a.org/y")
    as_get = following(POST, 303, "https://b.org/y")
    assert there is not None
    assert there.headers == POST.headers
    for each in (elsewhere, other_port, insecure):
        assert each is not None
        assert (each.headers, each.body) == ({"Content-Type": "application/json", "X": "d"}, b"1")
    assert as_get is not None
    assert (as_get.headers, as_get.body) == ({"X": "d"}, None)


@pytest.mark.parametrize(
    "location",
    [
        "//" + "é" * 600,
        "http://" + "é" * 600,
        "/" + "a" * 8190,
        "file:///etc/passwd",
        "gopher://a",
        "http://[",
        "javascript:1",
    ],
)
def test_a_redirect_to_where_no_request_goes(location: str) -> None:
    with pytest.raises(InvalidRequest):
        following(GET, 302, location)
