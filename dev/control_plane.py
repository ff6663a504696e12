"""A real etcd and kube-apiserver on 127.0.0.1, for demo and tests. Needs no root and no container runtime.

There is no controller manager: no default ServiceAccount, no garbage collection, a deleted namespace stays
Terminating, and the ClusterRoles that aggregate others (view, edit, admin) are empty.
"""

import os
import random
import secrets
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from dev.child import Child

START_DEADLINE = 120.0
"""Seconds; 5 are usual."""
STOP_GRACE = 5.0
TOKEN_DURATION = "24h"

# Below the range that Linux and macOS take for outgoing connections: so a restart finds its port free.
PORTS = range(20000, 32000)


class ControlPlaneError(RuntimeError):
    """The control plane or a command against it failed; the text holds the end of the log or of stderr."""


class ControlPlane:
    """etcd and kube-apiserver, with everything they write in the folder `data`; a context manager.

    `binary` comes from dev.tools.control_plane(), `kubectl` from dev.tools.kubectl(). A folder used before
    brings its objects back. RBAC is on; the kubeconfig's user is in group system:masters.
    """

    def __init__(self, binary: Path, kubectl: Path, data: Path) -> None:
        self.data = data.absolute()
        self.kubeconfig = self.data / "admin.kubeconfig"
        self._binary = binary
        self._kubectl = kubectl
        self._token = secrets.token_urlsafe(24)
        self._ports = free_ports(3)
        self._etcd: Child | None = None
        self._apiserver: Child | None = None

    @property
    def url(self) -> str:
        """The API server's address, https://127.0.0.1:PORT."""
        return f"https://127.0.0.1:{self._ports[0]}"

    @property
    def token(self) -> str:
        """The admin's bearer token."""
        return self._token

    @property
    def certificate(self) -> Path:
        """A PEM file with the API server's certificate and the authority that signed it."""
        return self._certificate

    @property
    def pids(self) -> dict[str, int]:
        """Of what runs, by its program: etcd, kube-apiserver."""
        return {child.name: child.pid for child in (self._etcd, self._apiserver) if child}

    def start(self, deadline: float = START_DEADLINE) -> None:
        """Start both and wait until the API server is ready. Raises ControlPlaneError after `deadline` seconds."""
        assert self._etcd is None, "started twice"
        self.data.mkdir(parents=True, exist_ok=True)
        # Before the files with secrets, which the umask could leave readable.
        self.data.chmod(0o700)
        (self.data / "tokens.csv").write_text(f"{self._token},admin,admin,system:masters\n")
        if not self._account_key.exists():
            subprocess.run([self._binary, "keygen", self._account_key], check=True)
        self._etcd = self._child("etcd", etcd_flags(self.data, *self._ports[1:]))
        self.restart_apiserver(deadline)

    def stop(self) -> None:
        """End both; the data stays. Does nothing when they do not run."""
        for child in (self._apiserver, self._etcd):
            if child:
                child.stop(STOP_GRACE)
        self._apiserver = self._etcd = None

    def kill_apiserver(self) -> None:
        """SIGKILL the API server; etcd goes on."""
        if self._apiserver:
            self._apiserver.kill()
            self._apiserver = None

    def restart_apiserver(self, deadline: float = START_DEADLINE) -> None:
        """Start the API server, on its port, killing one that still runs; wait until it is ready.

        Raises ControlPlaneError when it ends at once or is not ready after `deadline` seconds.
        """
        self.kill_apiserver()
        flags = apiserver_flags(self.data, self._account_key, self._ports[0], self._ports[1])
        self._apiserver = self._child("kube-apiserver", flags)
        try:
            self._wait_until_ready(self._apiserver, deadline)
        except BaseException:
            self.kill_apiserver()
            self.stop()
            raise
        self._write_kubeconfig(self.kubeconfig, self._token)

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        """What `kubectl *args`, as admin and with `input` for its standard input, prints to standard output.

        Raises ControlPlaneError with its standard error when it fails.
        """
        return self.kubectl_as(self.kubeconfig, *args, input=input)

    def kubectl_as(self, kubeconfig: Path, *args: str, input: str | None = None) -> str:  # noqa: A002
        """As kubectl(), as the user of `kubeconfig`."""
        done = subprocess.run(
            [self._kubectl, *args],
            input=input,
            capture_output=True,
            text=True,
            check=False,
            # The caches, plugins and preferences of the person who runs this stay out of it.
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self.data),
                "KUBECONFIG": str(kubeconfig),
                "KUBERC": "off",
            },
        )
        if done.returncode:
            raise ControlPlaneError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def service_account_kubeconfig(self, namespace: str, name: str, path: Path) -> Path:
        """Write to `path` a kubeconfig for an existing ServiceAccount, good for a day, and return `path`.

        The token is from the TokenRequest API. Raises ControlPlaneError when there is no such account.
        """
        token = self.kubectl("create", "token", name, "-n", namespace, f"--duration={TOKEN_DURATION}")
        self._write_kubeconfig(path, token.strip())
        return path

    def metrics(self) -> str:
        """The API server's own metrics, in Prometheus' text format. Raises OSError when it is away."""
        return self._get("/metrics")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _account_key(self) -> Path:
        return self.data / "service-account.key"

    @property
    def _certificate(self) -> Path:
        # The API server makes it on its first start, with its own CA in the same file.
        return self.data / "certs" / "apiserver.crt"

    def _child(self, program: str, flags: Sequence[str]) -> Child:
        return Child(program, [str(self._binary), program, *flags], self.data / f"{program}.log")

    def _wait_until_ready(self, apiserver: Child, deadline: float) -> None:
        end = time.monotonic() + deadline
        while True:
            for child in filter(None, (self._etcd, apiserver)):
                if child.exit_code is not None:
                    raise ControlPlaneError(
                        f"{child.name} ended with {child.exit_code}. {child.log} ends with:\n{child.tail()}"
                    )
            try:
                # Ready comes before the namespace that everyone expects.
                self._get("/readyz")
                self._get("/api/v1/namespaces/default")
                return
            except OSError as error:
                why = error
            if time.monotonic() > end:
                raise ControlPlaneError(
                    f"kube-apiserver at {self.url} was not ready in {deadline:.0f} s: {why}. "
                    f"{apiserver.log} ends with:\n{apiserver.tail()}"
                )
            time.sleep(0.1)

    def _get(self, path: str) -> str:
        context = ssl.create_default_context(cafile=str(self._certificate))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self._token}"})
        with opener.open(request, timeout=10) as response:
            return str(response.read(), "utf-8")

    def _write_kubeconfig(self, path: Path, token: str) -> None:
        text = kubeconfig_text(self.url, self._certificate.read_bytes(), token)
        with open(path, "w", opener=_private) as file:
            file.write(text)


def free_ports(count: int) -> tuple[int, ...]:
    """Different ports of 127.0.0.1 that nothing listens on now."""
    with ExitStack() as held:
        ports: list[int] = []
        for port in random.sample(PORTS, len(PORTS)):
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                return tuple(ports)
    raise ControlPlaneError(f"no {count} free ports in {PORTS}")


def etcd_flags(data: Path, client_port: int, peer_port: int) -> list[str]:
    """Flags for a single etcd below `data` that trades safety against power loss for speed."""
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return [
        "--name=default",
        f"--data-dir={data / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver_flags(data: Path, account_key: Path, port: int, etcd_port: int) -> list[str]:
    """Flags for a kube-apiserver that makes its own serving certificate below `data`."""
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        # Without these two it looks for a network interface other than loopback, and fails offline.
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--cert-dir={data / 'certs'}",
        f"--token-auth-file={data / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={account_key}",
        f"--service-account-signing-key-file={account_key}",
        "--service-cluster-ip-range=10.0.0.0/24",
        # It refuses pods until a controller manager has made their namespace's default account.
        "--disable-admission-plugins=ServiceAccount",
    ]


def kubeconfig_text(url: str, authority: bytes, token: str) -> str:
    """A kubeconfig for the server at `url`, trusted by the PEM `authority`, for the bearer of `token`."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "default",
                "cluster": {"server": url, "certificate-authority-data": b64encode(authority).decode()},
            }
        ],
        "users": [{"name": "default", "user": {"token": token}}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        "current-context": "default",
    }
    return yaml.safe_dump(document, sort_keys=False)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
