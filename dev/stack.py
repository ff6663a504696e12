"""Everything at once on 127.0.0.1: API server, NATS, operators, projectors and executors, each a process of its own."""

import asyncio
import json
import os
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from dev.child import Child
from dev.control_plane import ControlPlane, free_ports
from workflow_operator.jetstream import EmbeddedServer
from workflow_operator.jetstream.streams.permissions import Role, inbox_prefix, permissions

PROJECT = Path(__file__).parents[1]
CRDS = Path("crds")
RBAC_FILE = Path("charts") / "workflow-operator" / "files" / "rbac.yaml"
"""Both below the project's folder."""
LEASHED = PROJECT / "dev" / "leashed.py"
# -P: nothing of the folder dev/ may shadow a module.
COMMAND = (sys.executable, "-P", str(LEASHED))
"""Runs the role that is named behind it."""
CRD_NAMES = ("workflowruns.workflow-operator.dev", "workflowsignals.workflow-operator.dev")
ACCOUNT = "workflow-operator"
"""Name of the operator's ServiceAccount, and of its namespace."""

_USERS = [{"user": str(role), "password": str(role), "permissions": permissions(role)} for role in Role]
LOGINS = f"""
authorization {{ users: {json.dumps([*_USERS, {"user": "everything", "password": "everything"}])} }}
no_auth_user: everything
"""
"""Configuration of a NATS server that knows each role by a password, which is its name."""

READY_DEADLINE = 60.0
"""Seconds for a replica to become ready; 2 are usual."""
STOP_GRACE = 30.0
"""Seconds for a graceful end; above the replicas' own 20."""

T = TypeVar("T")


class StackError(RuntimeError):
    """A replica did not start, or a command failed; the text holds the end of the log or of stderr."""


class Process:
    """One replica of a role, logging JSON lines to a file of its own."""

    def __init__(self, role: str, log: Path, env: Mapping[str, str], command: Sequence[str] = COMMAND) -> None:
        self.role = role
        self.log = log
        (self._port,) = free_ports(1)
        health = {"WORKFLOW_OPERATOR_HEALTH_HOST": "127.0.0.1", "WORKFLOW_OPERATOR_HEALTH_PORT": str(self._port)}
        self._child = Child(log.stem, [*command, role], log, {**health, **env})

    @property
    def name(self) -> str:
        """operator-1, projector-2 and so on."""
        return self._child.name

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def health_url(self) -> str:
        """Where /healthz and /readyz are, without a slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N when signal N ended it."""
        return self._child.exit_code

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._child.kill()

    def terminate(self) -> None:
        """SIGTERM: ends in good order, soon. Does not wait."""
        self._child.terminate()

    def wait(self, timeout: float = STOP_GRACE) -> int:
        """Wait for the end and return the exit code. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        return self._child.wait(timeout)

    def stop(self, grace: float = STOP_GRACE) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds."""
        self._child.stop(grace)

    def ready(self) -> bool:
        """Whether /readyz answers 200 now."""
        return self._get("/readyz")[0] == 200

    def alive(self) -> bool:
        """Whether /healthz answers 200 now."""
        return self._get("/healthz")[0] == 200

    def problems(self) -> dict[str, str]:
        """What /readyz names, by name; empty also while it does not answer."""
        _, body = self._get("/readyz")
        return dict(json.loads(body)["problems"]) if body else {}

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return self._child.tail(lines)

    def log_records(self) -> list[dict[str, Any]]:
        """Its log lines so far, parsed; what is not JSON (a traceback at the very start) is left out."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def _get(self, path: str) -> tuple[int | None, bytes]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.health_url + path, timeout=10) as response:
                return int(response.status), response.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read()
        except OSError:
            return None, b""


class Stack:
    """NATS and the replicas beside a running `control_plane`, with their files in `directory`.

    A context manager that starts two operators and two projectors. The operators are the ServiceAccount of the chart,
    never admin.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        directory: Path,
        *,
        logins: bool = False,
        nats: EmbeddedServer | None = None,
        project: Path = PROJECT,
        command: Sequence[str] = COMMAND,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`logins`: each role has a password and the permissions of the chart in NATS, where a client without a login
        may still do everything. `nats` takes the place of a server without fsync in `directory`. `project` is the
        checkout whose CRDs and RBAC are taken, `command` what runs a role, `env` settings of all of them."""
        self.control_plane = control_plane
        self.directory = directory.absolute()
        # A killed process loses nothing without it, and only a power loss would be survived with it.
        self.nats = nats or EmbeddedServer(self.directory / "nats", sync_always=False, config=LOGINS if logins else "")
        self._project = project
        self._command = command
        self._logins = logins
        self._settings = dict(env or {})
        self.operators: list[Process] = []
        self.projectors: list[Process] = []
        self.executors: list[Process] = []
        self._started = 0

    @property
    def kubeconfig(self) -> Path:
        """The operators' kubeconfig."""
        return self.directory / "operator.kubeconfig"

    def start(self, operators: int = 2, projectors: int = 2) -> None:
        """Install CRD and RBAC, start NATS and the replicas, and wait until each is ready.

        Raises StackError when a replica ends or is not ready in 60 seconds, ControlPlaneError when kubectl fails.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self.install()
        blocking(self.nats.start())
        replicas = [self._start("projector", {}) for _ in range(projectors)]
        replicas += [self._start("operator", {}) for _ in range(operators)]
        for replica in replicas:
            self._wait_until_ready(replica)

    def install(self) -> None:
        """CRD, namespace, RBAC and the operators' kubeconfig; what is there already stays."""
        kubectl = self.control_plane.kubectl
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ACCOUNT}}
        kubectl("apply", "-f", str(self._project / CRDS))
        kubectl("apply", "-f", "-", input=json.dumps(namespace))
        kubectl("apply", "-f", str(self._project / RBAC_FILE))
        kubectl("wait", "--for=condition=Established", *(f"crd/{name}" for name in CRD_NAMES), "--timeout=30s")
        self.control_plane.service_account_kubeconfig(ACCOUNT, ACCOUNT, self.kubeconfig)

    def start_operator(self, **env: str) -> Process:
        """Start one more operator with `env` on top of its settings."""
        return self._start("operator", env)

    def add_operator(self, **env: str) -> Process:
        """As start_operator(), and wait until it is ready."""
        return self._wait_until_ready(self.start_operator(**env))

    def add_projector(self, **env: str) -> Process:
        """Start one more projector with `env` on top of its settings, and wait until it is ready."""
        return self._wait_until_ready(self._start("projector", env))

    def add_executor(self, **env: str) -> Process:
        """Start one executor with `env` on top of its settings, and wait until it is ready."""
        return self._wait_until_ready(self._start("executor", env))

    def workflow_operator(self, *args: str) -> str:
        """What `workflow-operator *args`, against this NATS and as the administrator of the cluster, prints to standard
        output.

        Raises StackError with its standard error when it fails.
        """
        command = Path(sysconfig.get_path("scripts")) / "workflow-operator"
        env = self._env() | self._login("reader") | {"KUBECONFIG": str(self.control_plane.kubeconfig)}
        done = subprocess.run([command, *args], env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"workflow-operator {' '.join(args)}: exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def stop(self) -> None:
        """End everything but the control plane; does nothing to what has ended."""
        for replica in self._replicas():
            replica.terminate()
        for replica in self._replicas():
            replica.stop()
        blocking(self.nats.stop())

    def tails(self, lines: int = 20) -> str:
        """The end of every replica's log, for an error message."""
        return "\n".join(
            f"--- {each.name} (exit code {each.exit_code})\n{each.tail(lines)}" for each in self._replicas()
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _replicas(self) -> list[Process]:
        return [*self.operators, *self.projectors, *self.executors]

    def _start(self, role: str, env: Mapping[str, str]) -> Process:
        replicas = {"operator": self.operators, "projector": self.projectors, "executor": self.executors}[role]
        # Never a name used before, so that each log is one process's.
        self._started += 1
        log = self.directory / f"{role}-{self._started}.log"
        # Who has no business with the API server does not learn where it is.
        cluster = {"KUBECONFIG": str(self.kubeconfig)} if role == "operator" else {}
        replicas.append(
            Process(role, log, {**self._env(), **cluster, **self._login(role), **self._settings, **env}, self._command)
        )
        return replicas[-1]

    def _wait_until_ready(self, replica: Process) -> Process:
        def what_is_wrong() -> str | None:
            if replica.exit_code is not None:
                raise StackError(f"{replica.name} ended with {replica.exit_code}; its log ends with:\n{replica.tail()}")
            return None if replica.ready() else f"{replica.name} is not ready; its log ends with:\n{replica.tail()}"

        wait_until_well(what_is_wrong, READY_DEADLINE)
        return replica

    def _login(self, role: str) -> dict[str, str]:
        if not self._logins:
            return {}
        password = self.directory / f"{role}.password"
        password.write_text(role)
        return {
            "WORKFLOW_OPERATOR_NATS_USER": role,
            "WORKFLOW_OPERATOR_NATS_PASSWORD_FILE": str(password),
            "WORKFLOW_OPERATOR_NATS_INBOX_PREFIX": inbox_prefix(Role(role)),
        }

    def _env(self) -> dict[str, str]:
        """Nothing of the user's but PATH: a KUBECONFIG or a proxy of theirs would be used."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.directory),
            "WORKFLOW_OPERATOR_NATS_URL": self.nats.url,
        }


def wait_until_well(what_is_wrong: Callable[[], str | None], deadline: float) -> None:
    """Ask until the answer is None. Raises StackError with the last answer after `deadline` seconds."""
    end = time.monotonic() + deadline
    while (problem := what_is_wrong()) is not None:
        if time.monotonic() > end:
            raise StackError(f"after {deadline:.0f} s: {problem}")
        time.sleep(0.1)


def blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end in this thread, which must have no running event loop.

    Not asyncio.run(), which would take away an event loop that a test framework has set for this thread.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
