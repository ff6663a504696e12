"""Every way to log in, against a server that demands it, and what is said when it does not let us in."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.fakes.polling import eventually
from tests.fixtures.certificates import Authority
from workflow_operator.history.errors import Refused, Unavailable
from workflow_operator.jetstream.connect import nkey
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions, address
from workflow_operator.jetstream.connect.server import EmbeddedServer

pytestmark = pytest.mark.integration

SECRET = "hidden-from-all-eyes"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@asynccontextmanager
async def serving(directory: Path, config: str) -> AsyncIterator[EmbeddedServer]:
    server = EmbeddedServer(directory / "nats", sync_always=False, config=config)
    await server.start()
    try:
        yield server
    finally:
        server.kill()


async def works(server: EmbeddedServer, url: str = "", **options: Any) -> None:
    connection = await Connection.open(ConnectionOptions(servers=(url or server.url,), name="tests", **options))
    assert "memory" in await connection.api("INFO", {})
    assert connection.problem is None
    await connection.close()


async def refused(server: EmbeddedServer, url: str = "", **options: Any) -> str:
    """What is said, which must not name the secret."""
    given = ConnectionOptions(servers=(url or server.url,), name="tests", **{"connect_timeout_seconds": 60, **options})
    with pytest.raises(Refused) as caught:
        await Connection.open(given)
    said = str(caught.value)
    assert SECRET not in said
    assert said.startswith("NATS at ")
    return said


# --- passwords -------------------------------------------------------------------------------------------------------


def users(password: str = SECRET, **permissions: Any) -> str:
    return f"authorization {{ users: {json.dumps([{'user': 'alice', 'password': password, **permissions}])} }}"


async def test_password(tmp_path: Path, write: Callable[[str, str], Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    good, bad = write("good", f"{SECRET}\n"), write("bad", f"{SECRET}?")
    async with serving(tmp_path, users()) as server:
        host = server.url.removeprefix("nats://")
        await works(server, user="alice", password_file=good)
        await works(server, f"nats://alice:{SECRET}@{host}")
        said = await refused(server, user="alice", password_file=bad)
        assert said.endswith(f"{host}: the server does not accept user 'alice' with the password in {bad}")
        said = await refused(server, f"nats://bob:{SECRET}@{host}")
        assert said.endswith(f"nats://{host}: the server does not accept the login in the URL")
        assert (await refused(server)).endswith("the server does not accept a connection without a login")
        said = await refused(server, user="alice", password_file=tmp_path)
        assert said.endswith(f"the file {tmp_path} cannot be read: Is a directory")
    assert SECRET not in caplog.text


async def test_a_changed_password_is_read_again(tmp_path: Path, write: Callable[[str, str], Path]) -> None:
    file = write("password", "first")
    async with serving(tmp_path, users("first")) as server:
        options = ConnectionOptions(servers=(server.url,), name="tests", user="alice", password_file=file)
        connection = await Connection.open(options)
        told: list[bool] = []

        async def reconnected() -> None:
            told.append(connection.connected)

        connection.on_reconnect(reconnected)
        server.reload(users("second"))
        await eventually(lambda: connection.refused)
        assert (connection.problem or "").endswith(f"does not accept user 'alice' with the password in {file}")
        file.write_text("second")
        await eventually(lambda: connection.connected)
        await eventually(lambda: told == [True])
        assert "memory" in await connection.api("INFO", {})
        assert not connection.refused

        # The same while the server is away.
        server.kill()
        await eventually(lambda: not connection.connected and not connection.refused)
        server.reload(users("third"))
        await server.start()
        await eventually(lambda: connection.refused)
        file.write_text("third")
        await eventually(lambda: told == [True, True])
        await connection.close()


async def test_one_server_of_two_lets_us_in(tmp_path: Path, write: Callable[[str, str], Path]) -> None:
    async with serving(tmp_path / "a", users("other")) as wrong, serving(tmp_path / "b", users()) as right:
        options = ConnectionOptions(
            servers=(wrong.url, right.url), name="tests", user="alice", password_file=write("password", SECRET)
        )
        for _ in range(4):  # nats-py shuffles them
            connection = await Connection.open(options)
            assert connection.connected
            await connection.close()


# --- permissions -----------------------------------------------------------------------------------------------------


async def test_a_permission_that_lacks_is_said_at_once(tmp_path: Path, write: Callable[[str, str], Path]) -> None:
    allowed = {"publish": {"allow": ["$JS.API.INFO"]}, "subscribe": {"allow": ["_INBOX_alice.>"]}}
    options: dict[str, Any] = {"user": "alice", "password_file": write("password", SECRET)}
    async with serving(tmp_path, users(permissions=allowed)) as server:
        await works(server, inbox_prefix="_INBOX_alice", **options)
        said = await refused_to_subscribe(server, options)
        assert "may not subscribe to _inbox." in said
        assert said.endswith("the prefix _INBOX is not this login's")
        connection = await Connection.open(
            ConnectionOptions(servers=(server.url,), name="tests", inbox_prefix="_INBOX_alice", **options)
        )
        with pytest.raises(Refused, match=r"user 'alice' with the password in .* may not publish to \$js\.api\.stream"):
            await connection.request("$JS.API.STREAM.NAMES", timeout=600)
        async with connection.inbox() as inbox:
            await connection.publish("$JS.API.DIRECT.GET.HISTORY", reply=inbox.subject)
            with pytest.raises(Refused, match="may not publish"):
                await inbox.next(600)
        assert connection.connected
        await connection.close()


async def refused_to_subscribe(server: EmbeddedServer, options: dict[str, Any]) -> str:
    with pytest.raises(Refused) as caught:
        await Connection.open(ConnectionOptions(servers=(server.url,), name="tests", **options))
    return str(caught.value)


# --- keys ------------------------------------------------------------------------------------------------------------

OPERATOR, ACCOUNT = 14 << 3, 0


def key_pair(kind: int) -> tuple[nkey.KeyPair, str]:
    """A fresh key, and its seed."""
    private = Ed25519PrivateKey.generate()
    head = bytes([(18 << 3) | kind >> 5, (kind & 0b11111) << 3])
    return nkey.KeyPair(private, kind), nkey._encode(head + private.private_bytes_raw())


async def test_nkey(tmp_path: Path, write: Callable[[str, str], Path]) -> None:
    known, seed = key_pair(nkey.USER)
    _, other_seed = key_pair(nkey.USER)
    good, bad = write("user.nk", f"{seed}\n"), write("other.nk", other_seed)
    account = write("account.nk", key_pair(ACCOUNT)[1])
    async with serving(tmp_path, f"authorization {{ users: [ {{ nkey: {known.public} }} ] }}") as server:
        await works(server, nkey_seed_file=good)
        assert (await refused(server, nkey_seed_file=bad)).endswith(f"the server does not accept the nkey in {bad}")
        for file, reason in {
            write("broken.nk", f"{seed[:20]}{'A' if seed[20] != 'A' else 'B'}{seed[21:]}"): "its checksum is wrong",
            write("short.nk", nkey._encode(b"U")): "not the seed of a NATS key",
            write("text.nk", SECRET): "not base32",
            account: "the seed of another kind of key than a user's, which begins with SU",
        }.items():
            said = await refused(server, nkey_seed_file=file)
            assert str(file) in said
            assert said.endswith(reason), said


def test_reads_what_others_wrote() -> None:
    """The pair in the documentation of NATS."""
    seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
    assert nkey.from_seed(seed).public == "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def token(issuer: nkey.KeyPair, subject: str, name: str, claims: dict[str, Any]) -> str:
    """A JWT as NATS reads it."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    body = {"iat": 1, "iss": issuer.public, "jti": "", "name": name, "sub": subject, "nats": {**claims, "version": 2}}
    body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
    head = part(b'{"typ":"JWT","alg":"ed25519-nkey"}')
    signed = f"{head}.{part(json.dumps(body).encode())}"
    return f"{signed}.{part(issuer.sign(signed.encode()))}"


NO_LIMIT = {"subs": -1, "data": -1, "payload": -1}
BARE_LIMITS = {**NO_LIMIT, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
ACCOUNT_LIMITS = BARE_LIMITS | {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}


def credentials(user_token: str, seed: str) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{user_token}\n------END NATS USER JWT------\n\n"
        f"************************* IMPORTANT *************************\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


async def test_credentials_file(tmp_path: Path, write: Callable[[str, str], Path]) -> None:
    operator, account, system = key_pair(OPERATOR)[0], key_pair(ACCOUNT)[0], key_pair(ACCOUNT)[0]
    user, seed = key_pair(nkey.USER)
    good = credentials(token(account, user.public, "alice", {"type": "user", **NO_LIMIT}), seed)
    foreign = credentials(token(key_pair(ACCOUNT)[0], user.public, "bob", {"type": "user", **NO_LIMIT}), seed)
    tokens = {
        each.public: token(operator, each.public, "account", {"type": "account", "limits": limits})
        for each, limits in ((account, ACCOUNT_LIMITS), (system, BARE_LIMITS))
    }
    config = (
        f"operator: {token(operator, operator.public, 'operator', {'type': 'operator'})}\n"
        f"resolver: MEMORY\nsystem_account: {system.public}\nresolver_preload: {json.dumps(tokens)}\n"
    )
    async with serving(tmp_path, config) as server:
        await works(server, credentials_file=write("good.creds", good))
        file = write("foreign.creds", foreign)
        said = await refused(server, credentials_file=file)
        assert said.endswith(f"the server does not accept the credentials in {file}")
        said = await refused(server, credentials_file=write("no.creds", SECRET))
        assert said.endswith("no.creds is not a NATS credentials file: expected a user's JWT and an nkey seed")


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def tls(authority: Authority, address: str = "127.0.0.1", more: str = "") -> str:
    pair = authority.sign("server", address=address)
    return f'tls {{ cert_file: "{pair.certificate}", key_file: "{pair.key}"\n {more} }}'


async def test_tls(tmp_path: Path, authority: Authority, write: Callable[[str, str], Path]) -> None:
    stranger = Authority(tmp_path, "stranger").ca.certificate
    async with serving(tmp_path, tls(authority)) as server:
        await works(server, tls_ca_file=authority.ca.certificate)
        await works(server, server.url.replace("nats://", "tls://"), tls_ca_file=authority.ca.certificate)
        said = await refused(server, tls_ca_file=stranger)
        assert said.endswith(f"the server's certificate is not trusted: it is not signed by a CA in {stranger}")
        assert (await refused(server)).endswith("it is not signed by a CA that this system knows")
        said = await refused(server, tls_ca_file=write("text", "text"))
        assert said.endswith("text holds no certificates in PEM form")
        said = await refused(server, tls_ca_file=write("empty", ""))
        assert said.endswith("empty holds no certificates in PEM form")
        bundle = f"# Főtanúsítvány\n{authority.ca.certificate.read_text()}# vége\n"
        await works(server, tls_ca_file=write("bundle", bundle))
    async with serving(tmp_path, tls(authority, "127.0.0.2")) as server:
        said = await refused(server, tls_ca_file=authority.ca.certificate)
        assert said.endswith("is not trusted: it is for another name than that in the URL (127.0.0.1)")


async def test_nothing_is_sent_to_a_server_that_does_not_encrypt(
    tmp_path: Path, authority: Authority, write: Callable[[str, str], Path]
) -> None:
    password = write("password", SECRET)
    async with serving(tmp_path, users()) as server:
        for options in ({"tls_ca_file": authority.ca.certificate}, {"url": server.url.replace("nats", "tls")}):
            said = await refused(server, user="alice", password_file=password, **options)
            assert said.endswith("the server does not encrypt, and TLS is demanded of it; nothing was sent")


async def test_mutual_tls(tmp_path: Path, authority: Authority) -> None:
    client = authority.sign("client")
    stranger = Authority(tmp_path, "stranger").sign("strange-client")
    ca = authority.ca.certificate
    async with serving(tmp_path, tls(authority, more=f'verify: true, ca_file: "{ca}"')) as server:
        await works(server, tls_ca_file=ca, tls_certificate_file=client.certificate, tls_key_file=client.key)
        said = await refused(server, tls_ca_file=ca)
        assert "the server may demand a client certificate, and none is set" in said
        said = await refused(
            server, tls_ca_file=ca, tls_certificate_file=stranger.certificate, tls_key_file=stranger.key
        )
        assert f"the server may not accept the certificate in {stranger.certificate}" in said
        said = await refused(server, tls_ca_file=ca, tls_certificate_file=client.certificate, tls_key_file=stranger.key)
        assert "are not a certificate and its key in PEM form" in said


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://alice:p@ss@nats:4222", "nats://nats:4222"),
        ("token@nats", "nats"),
        ("nats", "nats"),
        ("tls://nats.example", "tls://nats.example"),
    ],
)
def test_of_a_url_only_the_address_is_shown(url: str, shown: str) -> None:
    assert address(url) == shown


async def test_who_cannot_be_reached_has_not_refused() -> None:
    options = ConnectionOptions(servers=(f"nats://a:{SECRET}@127.0.0.1:1",), name="tests", connect_timeout_seconds=0.3)
    with pytest.raises(Unavailable) as caught:
        await Connection.open(options)
    assert not isinstance(caught.value, Refused)
    assert SECRET not in str(caught.value)
