"""A real nats-server runs with the configuration that the chart renders, and lets in whom it should."""

import asyncio
import base64
import dataclasses
import json
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dev import tools
from dev.control_plane import free_ports
from tests.chart.conftest import Render
from tests.chart.rendering import Object, find
from tests.fakes.polling import eventually
from tests.fixtures.certificates import Authority
from workflow_operator.history.errors import WorkflowError
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.server import _die_with_parent
from workflow_operator.jetstream.streams.topology import TopologyOptions, check, check_projection, ensure

pytestmark = pytest.mark.integration

PORTS = ("4222", "6222", "8222")


class Servers:
    """The pods of the rendered StatefulSet as processes on this machine: other ports and folders, all else as it is."""

    def __init__(self, objects: list[Object], folder: Path, secret: dict[str, str], tls: Path | None = None) -> None:
        self.stateful_set = find(objects, "StatefulSet")
        self.secret = secret
        self.folder = folder
        self.tls = tls
        [config] = [each["data"] for each in objects if each["kind"] == "ConfigMap" and "nats.conf" in each["data"]]
        self.config = config["nats.conf"]
        count = self.stateful_set["spec"]["replicas"]
        ports = free_ports(3 * count)
        self.ports = [dict(zip(PORTS, ports[3 * index :], strict=False)) for index in range(count)]
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for index in range(len(self.ports)):
            with (self.folder / f"{index}.log").open("wb") as log:
                process = subprocess.Popen(
                    self.command(index),
                    env=self.environment(index),
                    stdout=log,
                    stderr=log,
                    process_group=0,
                    preexec_fn=_die_with_parent,
                )
            self.processes.append(process)

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def command(self, index: int) -> list[str]:
        text = self.config
        for port, own in self.ports[index].items():
            text = re.sub(rf"(?m)^( *)port: {port}$", rf'\1listen: "127.0.0.1:{own}"', text)
            text = re.sub(rf"(?m)^( *)http_port: {port}$", rf'\1http: "127.0.0.1:{own}"', text)
        text = text.replace('"/data', f'"{self.folder}/data-{index}')
        if self.tls:
            text = text.replace('"/etc/nats/tls', f'"{self.tls}')
        (self.folder / f"data-{index}").mkdir(exist_ok=True)
        file = self.folder / f"{index}.conf"
        file.write_text(text)
        return [str(tools.nats_server()), "--config", str(file)]

    def environment(self, index: int) -> dict[str, str]:
        """As the kubelet makes it: values may name variables before them."""
        made: dict[str, str] = {}
        for each in self.stateful_set["spec"]["template"]["spec"]["containers"][0]["env"]:
            if "value" in each:
                value = re.sub(r"\$\((\w+)\)", lambda found: made[found[1]], each["value"])
            elif "secretKeyRef" in each["valueFrom"]:
                value = self.secret[each["valueFrom"]["secretKeyRef"]["key"]]
            else:
                assert each["valueFrom"]["fieldRef"] == {"fieldPath": "metadata.name"}
                value = f"{self.stateful_set['metadata']['name']}-{index}"
            if each["name"].startswith("ROUTE_") and "@" in value:
                server = int(each["name"].removeprefix("ROUTE_"))
                name = f"{self.stateful_set['metadata']['name']}-{server}.{self.stateful_set['spec']['serviceName']}"
                value, found = re.subn(
                    rf"@{re.escape(name)}\.workflows\.svc:6222", f"@127.0.0.1:{self.ports[server]['6222']}", value
                )
                assert found == 1, value
            made[each["name"]] = value
        return made

    def get(self, index: int, path: str) -> Any:
        """What the monitoring port answers; None while it does not, or answers with an error."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[index]['8222']}{path}", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None

    def probe(self, index: int, name: str) -> bool:
        container = self.stateful_set["spec"]["template"]["spec"]["containers"][0]
        return self.get(index, container[f"{name}Probe"]["httpGet"]["path"]) is not None

    async def all_pass(self, *probes: str) -> None:
        """Raises AssertionError, with the ends of the logs."""

        def decided() -> bool:
            return any(each.poll() is not None for each in self.processes) or all(
                self.probe(index, name) for index in range(len(self.ports)) for name in probes
            )

        await eventually(decided, deadline_seconds=60)
        logs = "\n".join((self.folder / f"{index}.log").read_text()[-2000:] for index in range(len(self.ports)))
        assert all(each.poll() is None for each in self.processes), logs

    def login(self, role: str, password: str | None = None) -> ConnectionOptions:
        file = self.folder / f"{role}.password"
        file.write_text(self.secret[f"{role}.password"] if password is None else password)
        return ConnectionOptions(
            servers=tuple(f"nats://127.0.0.1:{ports['4222']}" for ports in self.ports),
            name=role,
            user=role,
            password_file=file,
            inbox_prefix=f"_INBOX_{role}",
            tls_ca_file=self.tls / "ca.crt" if self.tls else None,
            connect_timeout_seconds=20,
        )


Start = Callable[..., Servers]


@pytest.fixture
def start(render: Render, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(bundled: dict[str, Any], secret: dict[str, str] | None = None, tls: Path | None = None) -> Servers:
            objects = render({"nats": {"bundled": bundled}})
            if secret is None:
                data = find(objects, "Secret")["data"]
                secret = {name: base64.b64decode(value).decode() for name, value in data.items()}
            servers = Servers(objects, tmp_path, secret, tls)
            stack.callback(servers.kill)
            servers.start()
            return servers

        yield start


async def test_one_server_lets_the_roles_in_and_nobody_else(start: Start) -> None:
    servers = start({})
    await servers.all_pass("startup", "readiness", "liveness")
    for role, prepare in {"operator": ensure, "projector": check_projection, "executor": check}.items():
        connection = await Connection.open(servers.login(role))
        await prepare(connection, TopologyOptions())
        await connection.close()
    with pytest.raises(WorkflowError):
        await Connection.open(servers.login("operator", servers.secret["projector.password"]))
    client = await Connection.open(servers.login("operator"))
    told = json.dumps(servers.get(0, "/connz?auth=1&subs=1"))
    assert '"authorized_user": "operator"' in told
    assert not [password for password in servers.secret.values() if password in told]
    await client.close()
    for login in ("reader", "backup"):
        for password in ("", f"$(SECRET_{login.upper()})", f"${login.upper()}_PASSWORD"):
            with pytest.raises(WorkflowError):
                await Connection.open(servers.login(login, password))


@pytest.mark.parametrize(("asked", "other"), [("reader", "backup"), ("backup", "reader")])
async def test_one_server_lets_in_who_is_asked_for(start: Start, asked: str, other: str) -> None:
    servers = start({"extraLogins": [asked]})
    await servers.all_pass("startup")
    await (await Connection.open(servers.login(asked))).close()
    with pytest.raises(WorkflowError):
        await Connection.open(servers.login(other, servers.secret[f"{asked}.password"]))


async def test_one_server_keeps_what_it_acknowledges(start: Start) -> None:
    servers = start({"storage": {"size": "20Gi"}})
    await servers.all_pass("startup")
    config = servers.get(0, "/jsz?config=true")["config"]
    assert config["sync_always"] is True
    assert config["max_storage"] == 18_000 * 1024**2
    assert config["max_memory"] == 0
    assert config["store_dir"].startswith(f"{servers.folder}/data-0")


async def test_a_secret_of_ones_own_may_hold_any_words(start: Start) -> None:
    # NATS would take the first for a number, and the second for a variable.
    words = {"operator": "1e10", "projector": "$HOME", "executor": "with a space # and more"}
    words |= {"reader": "true", "backup": "null"}
    secret = {f"{role}.password": word for role, word in words.items()}
    servers = start({"auth": {"existingSecret": "logins"}, "extraLogins": ["reader", "backup"]}, secret)
    await servers.all_pass("startup")
    for role in words:
        await (await Connection.open(servers.login(role))).close()


async def test_a_cluster_leaves_the_data_of_a_single_server_alone(start: Start) -> None:
    """It would delete streams that it did not make."""
    folders = []
    for replicas in (1, 3):
        servers = start({"replicas": replicas})
        await servers.all_pass("startup")
        folders.append(Path(servers.get(0, "/jsz?config=true")["config"]["store_dir"]))
        servers.kill()
    assert folders[0].parents[1] == folders[1].parents[1] == servers.folder / "data-0"
    assert folders[0] != folders[1]


async def test_a_server_of_three_takes_its_leave_before_it_ends(start: Start) -> None:
    """The kubelet runs the hook, and sends SIGTERM at once when that is done."""
    servers = start({"replicas": 3})
    await servers.all_pass("startup")
    login = servers.login("operator")
    container = servers.stateful_set["spec"]["template"]["spec"]["containers"][0]
    program, *arguments = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "/nats-server"
    arguments = [each.replace("/data", f"{servers.folder}/data-0") for each in arguments]
    client = await Connection.open(dataclasses.replace(login, servers=login.servers[:1]))
    hook = await asyncio.create_subprocess_exec(tools.nats_server(), *arguments)
    assert await hook.wait() == 0
    servers.processes[0].terminate()
    await eventually(lambda: servers.processes[0].poll() is not None, deadline_seconds=60)
    await client.close()
    log = (servers.folder / "0.log").read_text()
    steps = ("Entering lame duck mode", 'Trapped "terminated" signal', "Closing existing clients", "Server Exiting")
    assert [log.index(step) for step in steps] == sorted(log.index(step) for step in steps), log


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_three_servers_find_one_another(start: Start, tmp_path: Path, encrypted: bool) -> None:
    folder = None
    bundled: dict[str, Any] = {"replicas": 3}
    if encrypted:
        folder = tmp_path / "tls"
        folder.mkdir()
        authority = Authority(folder, "ca")
        authority.sign("tls")
        bundled["tls"] = {"existingSecret": "tls"}
    servers = start(bundled, None, folder)
    await servers.all_pass("startup", "readiness", "liveness")
    for index in range(3):
        assert servers.get(index, "/varz")["cluster"]["name"] == "wo-workflow-operator-nats"
        assert servers.get(index, "/varz").get("connect_urls") is None
    connection = await Connection.open(servers.login("operator"))
    await ensure(connection, TopologyOptions(replicas=3))
    answer = await connection.api("STREAM.INFO.HISTORY", {})
    assert len(answer["cluster"]["replicas"]) == 2
    await connection.close()
