import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dev import tools
from dev.control_plane import (
    ControlPlane,
    ControlPlaneError,
    apiserver_flags,
    free_ports,
    kubeconfig_text,
)


def test_a_port_in_use_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        [port] = free_ports(1)
        taken.bind(("127.0.0.1", port))
        monkeypatch.setattr("dev.control_plane.PORTS", range(port, port + 1))
        with pytest.raises(ControlPlaneError, match="no 1 free ports"):
            free_ports(1)


def test_the_api_server_listens_on_loopback_only() -> None:
    flags = apiserver_flags(Path("/data"), Path("/data/key"), 20001, 20002)
    assert "--bind-address=127.0.0.1" in flags
    assert "--authorization-mode=RBAC" in flags


def test_kubeconfig_names_server_and_token() -> None:
    document = yaml.safe_load(kubeconfig_text("https://127.0.0.1:20001", b"PEM", "secret"))
    assert document["clusters"][0]["cluster"] == {
        "server": "https://127.0.0.1:20001",
        "certificate-authority-data": "UEVN",
    }
    assert document["users"][0]["user"] == {"token": "secret"}


@pytest.mark.e2e
def test_starts_as_the_version_it_was_built_from(control_plane: ControlPlane) -> None:
    assert f"Server Version: {tools.KUBERNETES_VERSION}" in control_plane.kubectl("version")
    assert "apiserver_request_total" in control_plane.metrics()


@pytest.mark.e2e
def test_rbac_denies_a_fresh_service_account_until_it_is_bound(control_plane: ControlPlane, tmp_path: Path) -> None:
    control_plane.kubectl("create", "namespace", "rbac")
    control_plane.kubectl("create", "serviceaccount", "fresh", "-n", "rbac")
    fresh = control_plane.service_account_kubeconfig("rbac", "fresh", tmp_path / "kubeconfig")
    who = "system:serviceaccount:rbac:fresh"

    with pytest.raises(ControlPlaneError, match=f'User "{who}" cannot list resource "configmaps"'):
        control_plane.kubectl_as(fresh, "get", "configmaps", "-n", "rbac")

    control_plane.kubectl("create", "role", "reader", "-n", "rbac", "--verb=list", "--resource=configmaps")
    control_plane.kubectl(
        "create", "rolebinding", "fresh", "-n", "rbac", "--role=reader", "--serviceaccount=rbac:fresh"
    )
    until(lambda: control_plane.kubectl("auth", "can-i", "list", "configmaps", "-n", "rbac", "--as", who))
    assert control_plane.kubectl_as(fresh, "get", "configmaps", "-n", "rbac", "-o", "name") == ""


@pytest.mark.e2e
def test_kubectl_reports_standard_error_and_reads_input(control_plane: ControlPlane) -> None:
    manifest = '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "from-input"}}'
    assert control_plane.kubectl("apply", "-f", "-", input=manifest) == "namespace/from-input created\n"
    with pytest.raises(ControlPlaneError, match='namespaces "absent" not found'):
        control_plane.kubectl("get", "namespace", "absent")


@pytest.mark.e2e
def test_objects_survive_kill_and_restart_of_the_api_server(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "namespace", "kept")
    uid = control_plane.kubectl("get", "namespace", "kept", "-o", "jsonpath={.metadata.uid}")

    control_plane.kill_apiserver()
    with pytest.raises(ControlPlaneError, match="refused"):
        control_plane.kubectl("get", "namespace", "kept")

    control_plane.restart_apiserver()
    assert control_plane.kubectl("get", "namespace", "kept", "-o", "jsonpath={.metadata.uid}") == uid


@pytest.mark.e2e
def test_a_server_that_ends_at_once_is_reported_with_its_log(control_plane_binary: Path, tmp_path: Path) -> None:
    broken = ControlPlane(control_plane_binary, tools.kubectl(), tmp_path)
    (tmp_path / "etcd").write_text("not a folder")
    with pytest.raises(ControlPlaneError, match=r"(?s)etcd ended with 1.*etcd\.log ends with:.*not a directory"):
        broken.start()


@pytest.mark.e2e
def test_children_die_with_a_killed_parent(control_plane_binary: Path, tmp_path: Path) -> None:
    [port, peer_port] = free_ports(2)
    parent = """
import sys, time
from pathlib import Path
from dev.child import Child
from dev.control_plane import etcd_flags
binary, data, *ports = sys.argv[1:]
child = Child("etcd", [binary, "etcd", *etcd_flags(Path(data), *map(int, ports))], Path(data) / "log")
print("started", flush=True)
sys.stdin.read()
"""
    arguments = [str(control_plane_binary), str(tmp_path), str(port), str(peer_port)]
    with subprocess.Popen(
        [sys.executable, "-c", parent, *arguments],
        env={"PYTHONPATH": os.getcwd()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        until(lambda: listens(port))
        process.send_signal(signal.SIGKILL)
        process.wait()
        # Before the parent's own standard input is closed, which the child must not have got.
        until(lambda: not listens(port))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], object], deadline: float = 30.0) -> None:
    end = time.monotonic() + deadline
    while True:
        try:
            if condition():
                return
        except ControlPlaneError:
            pass
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.05)
