"""Requests to real servers: what comes back, within bounds, and what is never connected to."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tests.fixtures.certificates import Authority
from tests.http.conftest import Asked, Server, leading_to, saying
from workflow_operator.http import Answer, Egress, InvalidRequest, NoAnswer, Request, TooLarge, rules
from workflow_operator.http import client as http_client
from workflow_operator.http.client import HttpClient

pytestmark = pytest.mark.integration

EGRESS = Egress(rules("127.0.0.1, trusted.example"))
MOST = 10_000


class Names(AbstractResolver):
    """Each look-up of a name gives the next of its addresses, and the last one for ever."""

    def __init__(self, **names: list[str]) -> None:
        self._names = {name.replace("_", "."): addresses for name, addresses in names.items()}

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC) -> list[ResolveResult]:
        if host not in self._names:
            raise OSError(f"no such name: {host}")
        left = self._names[host]
        address = left.pop(0) if len(left) > 1 else left[0]
        of = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=of, proto=0, flags=0)]

    async def close(self) -> None: ...


@pytest.fixture
def client() -> Iterator[HttpClient]:
    made = HttpClient(EGRESS)
    yield made
    made.close()


def named(**names: list[str]) -> HttpClient:
    resolver = Names(**names)
    return HttpClient(EGRESS, resolver=lambda _: resolver)


async def get(client: HttpClient, url: str, method: str = "GET", **given: Any) -> Answer:
    request = Request(method, URL(url), given.pop("headers", {}), given.pop("body", None), **given)
    return await client.send(request, "shop", MOST)


async def test_what_is_sent_and_what_comes_back(client: HttpClient, server: Server) -> None:
    server.speak = saying(b"made", "X-A: 1", "X-A: 2", "Content-Type: text/plain", status="201 Created")
    answer = await get(client, f"{server.url}/a?b=c#d", "POST", headers={"X-B": "e", "User-Agent": "f"}, body=b"{}")
    [asked] = server.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/a?b=c", b"{}")
    assert (asked.headers["x-b"], asked.headers["user-agent"]) == ("e", "f")
    assert "content-type" not in asked.headers, "nobody has said what it is"
    assert (answer.status, answer.reason, answer.body, answer.redirected) == (201, "Created", b"made", False)
    assert answer.headers == {"content-length": ["4"], "x-a": ["1", "2"], "content-type": ["text/plain"]}
    assert answer.url == f"{server.url}/a?b=c"


async def test_no_proxy_and_no_login_of_ours_is_used(
    client: HttpClient, server: Server, inside: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, inside.url)
    await get(client, server.url)
    assert len(server.asked) == 1
    assert inside.asked == []
    assert server.asked[0].headers.keys() == {"host", "user-agent", "accept", "accept-encoding", "connection"}


async def test_cookies_are_nobodys(client: HttpClient, server: Server) -> None:
    server.speak = saying(b"", "Set-Cookie: a=b")
    for _ in range(2):
        await get(client, server.url)
    assert all("cookie" not in asked.headers for asked in server.asked)


@pytest.mark.parametrize(
    "spelled",
    [
        "http://127.0.0.2:{port}/",
        "http://127.2:{port}/",
        "http://2130706434:{port}/",
        "http://0x7f000002:{port}/",
        "http://0177.0.0.2:{port}/",
        "http://[::ffff:127.0.0.2]:{port}/",
        "http://[::ffff:7f00:2]:{port}/",
        "http://user:word@127.0.0.2:{port}/",
        "http://127.0.0.2.:{port}/",
        "http://\u0661\u0662\u0667.0.0.2:{port}/",
    ],
)
async def test_what_is_refused_is_not_connected_to_however_it_is_spelled(
    client: HttpClient, inside: Server, spelled: str
) -> None:
    with pytest.raises((NoAnswer, InvalidRequest, ValueError)):
        await get(client, spelled.format(port=inside.port))
    assert inside.asked == []


async def test_a_refusal_says_which_rule(client: HttpClient, inside: Server) -> None:
    with pytest.raises(NoAnswer, match=r"127\.0\.0\.2 is this machine, which is refused unless .*egressAllow"):
        await get(client, inside.url)


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
async def test_each_redirect_is_looked_at_again(
    client: HttpClient, server: Server, inside: Server, status: str
) -> None:
    server.speak = leading_to(f"{inside.url}/secret", status)
    with pytest.raises(NoAnswer, match="this machine"):
        await get(client, server.url)
    assert inside.asked == []


async def test_a_name_that_leads_elsewhere_the_second_time(server: Server, inside: Server) -> None:
    client = named(a_example=["127.0.0.1", "127.0.0.2"])
    server.speak = leading_to(f"http://a.example:{inside.port}/")
    with pytest.raises(NoAnswer, match=r"a\.example \(127\.0\.0\.2\) is this machine"):
        await get(client, f"http://a.example:{server.port}/")
    assert (len(server.asked), inside.asked) == (1, [])


async def test_a_name_that_is_allowed_may_lead_anywhere(inside: Server) -> None:
    client = named(trusted_example=["127.0.0.2"])
    assert (await get(client, f"http://trusted.example:{inside.port}/")).body == b"ok"


async def test_the_operators_own_servers_are_refused(server: Server) -> None:
    client = HttpClient(Egress(), lambda: ["nats.example", "gone.example", "10.0.0.9"], lambda _: Names(**{
        "nats_example": ["10.0.0.7"], "other_example": ["10.0.0.7"], "10_0_0_9": ["10.0.0.9"],
    }))  # fmt: skip
    for url in ("http://other.example/", "http://10.0.0.7/", "http://10.0.0.9:4222/"):
        with pytest.raises(NoAnswer, match="serves the operator itself"):
            await get(client, url)


async def test_who_runs_out_of_time_over_them_lets_nobody_past() -> None:
    """A script chooses its timeout, and the names of these servers may take a while."""
    asked: list[str] = []

    class Slow(Names):
        async def resolve(self, host: str, *rest: Any, **more: Any) -> Any:
            asked.append(host)
            if asked == ["nats.example"]:
                await asyncio.Event().wait()
            return await super().resolve(host, *rest, **more)

    client = HttpClient(Egress(), lambda: ["nats.example"], lambda _: Slow(nats_example=["10.0.0.7"]))
    with pytest.raises(NoAnswer, match="timeout"):
        await get(client, "http://10.0.0.7/", timeout_seconds=0.01)
    with pytest.raises(NoAnswer, match="serves the operator itself"):
        await get(client, "http://10.0.0.7/")
    assert asked == ["nats.example", "nats.example"]


async def test_redirects_are_followed(client: HttpClient, server: Server) -> None:
    async def speak(asked: Asked, writer: asyncio.StreamWriter) -> None:
        to = {"/0": leading_to("1"), "/1": leading_to("/2?a=b")}.get(asked.target, saying(b"there"))
        await to(asked, writer)

    server.speak = speak
    answer = await get(client, f"{server.url}/0")
    assert (answer.body, answer.redirected, answer.url) == (b"there", True, f"{server.url}/2?a=b")


async def test_redirects_without_end(client: HttpClient, server: Server) -> None:
    server.speak = leading_to("/")
    with pytest.raises(NoAnswer, match="redirected more than 10 times"):
        await get(client, server.url)
    assert len(server.asked) == 11


@pytest.mark.parametrize("length", ["Content-Length: 3000000000", "Transfer-Encoding: chunked", "X-No-Length: 1"])
async def test_a_body_without_end_is_cut_where_it_is_too_large(client: HttpClient, server: Server, length: str) -> None:
    sent = 0

    async def speak(_: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
        part = b"x" * 1000
        part = b"3e8\r\n%b\r\n" % part if "chunked" in length else part
        while not writer.is_closing():
            writer.write(part)
            sent += 1000
            await writer.drain()

    server.speak = speak
    with pytest.raises(TooLarge):
        await get(client, server.url)
    assert sent < 50_000_000


async def test_a_bomb(client: HttpClient, server: Server) -> None:
    server.speak = saying(gzip.compress(bytes(100_000_000)), "Content-Encoding: gzip")
    with pytest.raises(TooLarge):
        await get(client, server.url)


async def test_what_is_compressed_is_read(client: HttpClient, server: Server) -> None:
    server.speak = saying(gzip.compress(b"small"), "Content-Encoding: gzip")
    answer = await get(client, server.url)
    assert (answer.body, answer.headers) == (b"small", {})


async def test_of_head_there_is_no_body(client: HttpClient, server: Server) -> None:
    async def speak(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000000\r\nContent-Encoding: gzip\r\n\r\n")

    server.speak = speak
    assert (await get(client, server.url, "HEAD")).body == b""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "disconnected"),
        (b"SSH-2.0-OpenSSH_9\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nxyz", "header"),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + b"\r\n", None),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", None),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "redirected to 'file:///etc/passwd'"),
    ],
)
async def test_what_is_no_answer(client: HttpClient, server: Server, said: bytes, why: str | None) -> None:
    async def speak(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(said)

    server.speak = speak
    with pytest.raises((NoAnswer, InvalidRequest), match=why):
        await get(client, server.url)


async def test_nobody_there(client: HttpClient) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NoAnswer, match=str(port)):
        await get(client, f"http://127.0.0.1:{port}/")
    with pytest.raises(NoAnswer, match=r"a\.example"):
        await get(named(), "http://a.example/")


async def test_a_server_that_takes_its_time(client: HttpClient, server: Server) -> None:
    never = asyncio.Event()

    async def speak(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nx")
        await writer.drain()
        await never.wait()

    server.speak = speak
    with pytest.raises(NoAnswer, match=r"within 0\.2 seconds \(timeout\)"):
        await get(client, server.url, timeout_seconds=0.2)


async def test_who_stops_waiting_hangs_up(client: HttpClient, server: Server) -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def speak(_: Asked, writer: asyncio.StreamWriter) -> None:
        asked.set()
        with suppress(OSError):
            while True:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0)
        hung_up.set()

    server.speak = speak
    waiting = asyncio.create_task(get(client, server.url))
    await asked.wait()
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(hung_up.wait(), 10)


@pytest.fixture
async def v6() -> AsyncIterator[Server]:
    made = Server()
    await made.start("::1")
    yield made
    made.close()


async def test_ipv6(v6: Server) -> None:
    with pytest.raises(NoAnswer, match="this machine"):
        await get(HttpClient(Egress()), v6.url)
    assert (await get(HttpClient(Egress(rules("::1"))), v6.url)).body == b"ok"


class Strange(Names):
    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC) -> list[ResolveResult]:
        raise RuntimeError("nobody thought of that")


async def test_what_nobody_thought_of_is_no_answer_either(caplog: pytest.LogCaptureFixture) -> None:
    client = HttpClient(EGRESS, resolver=lambda _: Strange())
    with pytest.raises(NoAnswer, match="nobody thought of that"):
        await get(client, "http://a.example/")
    assert "a request to a.example failed in an unknown way" in caplog.text


# --- TLS


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[Server, Path]]:
    """A server whose authority nobody knows, and the authority's certificate."""
    authority = Authority(tmp_path, "authority")
    pair = authority.sign("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server = Server()
    await server.start("127.0.0.1", context)
    yield server, authority.ca.certificate
    server.close()


async def test_a_server_that_nobody_vouches_for_is_no_answer(client: HttpClient, secure: tuple[Server, Path]) -> None:
    server, _ = secure
    with pytest.raises(NoAnswer, match="certificate verify failed"):
        await get(client, server.url)
    assert (await get(client, server.url, skip_tls=True)).body == b"ok"


async def test_authorities_are_those_that_the_environment_names(
    secure: tuple[Server, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert (await get(HttpClient(EGRESS), server.url)).body == b"ok"


async def test_or_those_of_the_distribution(secure: tuple[Server, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    server, certificate = secure
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr(http_client, "_BUNDLES", (str(certificate), "/nowhere"))
    assert (await get(HttpClient(EGRESS), server.url)).body == b"ok"
