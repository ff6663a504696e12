"""One real Kubernetes node on this machine, in network, mount and process namespaces of its own. Needs root.

From there nothing is reached but the node itself, and from outside nothing there: kubectl and helm run inside.
NetworkPolicies are not enforced, there is no metrics server, and no image is ever pulled.
"""

import fcntl
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from dev import archive
from dev.node import cgroups, config, pki
from dev.node.init import NODE_ADDRESS
from dev.node.packages import ADMINISTRATORS_PATH

HOME = Path("/var/tmp/workflow-operator-nodes")
"""Where each node has a folder. Not below /tmp, which may be memory: images take gigabytes."""

INIT = Path(__file__).with_name("init.py")
CGROUP_PREFIX = "workflow-operator-"
START_DEADLINE = 180.0
"""Seconds; 10 are usual."""
STOP_DEADLINE = 30.0


class NodeError(RuntimeError):
    """The node did not start, or a command against it failed; the text holds the end of the log or of stderr."""


class Node:
    """A node that lives as long as the context, and no longer than this process. Raises NodeError."""

    def __init__(self, control_plane: Path, node_programs: Path, kubectl: Path, helm: Path) -> None:
        self._binaries = (control_plane, node_programs)
        self._kubectl = kubectl
        self._helm = helm
        self._init: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self.data = HOME
        """The node's folder; below it `logs` and `pods`."""

    def __enter__(self) -> Self:
        with _only_one():
            remove_leftovers(HOME)
            self.data = Path(tempfile.mkdtemp(dir=HOME))
            # Held by process 1 as well: so the folder is free to remove only when the whole node is gone.
            self._lock = (self.data / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self._start()
        except BaseException as error:
            if isinstance(error, NodeError | subprocess.CalledProcessError):
                error.add_note(self.diagnosis())
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._init and self._init.stdin:
            self._init.stdin.close()
            try:
                self._init.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                self._init.kill()
                self._init.wait()
        if self._lock:
            self._lock.close()
        with _only_one():
            remove_leftovers(HOME)

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        """What `kubectl *args`, as admin, prints. Raises NodeError with its standard error when it fails."""
        return self.run([str(self._kubectl), *args], input)

    def helm(self, *args: str) -> str:
        """What `helm *args`, as admin, prints. Raises NodeError with its standard error when it fails."""
        return self.run([str(self._helm), *args])

    def load(self, archive: Path) -> None:
        """Give the node the image in a docker-archive, under the name that is in there."""
        self.run(
            ["ctr", f"--address={self.data}/containerd.sock", "--namespace=k8s.io", "images", "import", str(archive)]
        )

    def run(self, command: Sequence[str], input: str | None = None) -> str:  # noqa: A002
        """The standard output of a command in the node's network. Raises NodeError when it fails."""
        done = subprocess.run(
            self.entered(command),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            check=False,
            env=self._environment(),
        )
        if done.returncode:
            words = " ".join([Path(command[0]).name, *command[1:]])
            raise NodeError(f"{words} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def entered(self, command: Sequence[str]) -> list[str]:
        """The command that runs `command` in the node's network and mounts."""
        assert self._init, "the node is not up"
        # unshare itself is in them, too; only its child is in the new process namespace.
        return ["nsenter", f"--target={self._init.pid}", "--net", "--mount", f"--wd={Path.cwd()}", "--", *command]

    def diagnosis(self, lines: int = 15) -> str:
        """What one wants to read after a failure: the ends of the programs' logs."""
        texts = []
        for log in sorted((self.data / "logs").glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-lines:]
            texts.append("\n".join([f"== {log.name}", *tail]))
        return "\n".join(texts)

    def _start(self) -> None:
        data = self.data
        for folder in ("pki", "logs", "cni", "pods", *(f"volumes/{number}" for number in range(config.VOLUMES))):
            (data / folder).mkdir(parents=True)
        pki.make(data / "pki", config.NODE_NAME, NODE_ADDRESS, config.API_SERVICE_ADDRESS)
        subprocess.run([self._binaries[0], "keygen", data / "pki" / "accounts.key"], check=True)
        tokens = {name: secrets.token_urlsafe(24) for name in config.USERS}
        authority = (data / "pki" / "ca.crt").read_bytes()
        for path, text in config.files(data, cgroup_of(data), tokens, authority).items():
            (data / path).write_text(text)
        archive.write(data / "pause.tar", config.PAUSE_IMAGE, self._binaries[1] / "pause", "65535:65535")
        (data / "programs.json").write_text(json.dumps(config.programs(data, *self._binaries)))
        cgroups.make(cgroup_of(data))
        with (data / "logs" / "init.log").open("ab") as log:
            assert self._lock
            unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
            self._init = subprocess.Popen(
                [*unshare, "--propagation=private", sys.executable, "-P", str(INIT), str(data)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[self._lock.fileno()],
                env={"PATH": ADMINISTRATORS_PATH, "HOME": str(data)},
                # Ctrl-C in a terminal is for this process, which ends the node in order.
                process_group=0,
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        self._wait(lambda: self.run(["ctr", f"--address={self.data}/containerd.sock", "version"]))
        self.load(self.data / "pause.tar")
        self._wait(lambda: self.kubectl("get", "--raw=/readyz"))
        objects = {"apiVersion": "v1", "kind": "List", "items": config.first_objects(self.data)}
        self._wait(lambda: self.kubectl("apply", "-f", "-", input=json.dumps(objects)))
        self._wait(lambda: self.kubectl("wait", "--for=condition=Ready", f"node/{config.NODE_NAME}", "--timeout=5s"))
        self._wait(lambda: self.kubectl("get", "serviceaccount", "default"))
        self._wait(lambda: self.run(["curl", "--fail", "--silent", "http://127.0.0.1:8181/ready"]))

    def _wait(self, attempt: Callable[[], object]) -> None:
        end = time.monotonic() + START_DEADLINE
        while True:
            assert self._init
            if self._init.poll() is not None:
                raise NodeError(f"the node's first process ended with {self._init.returncode}")
            try:
                attempt()
                return
            except NodeError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def _environment(self) -> dict[str, str]:
        """Nothing of the user's: their caches, plugins and preferences stay out of it."""
        return {
            "PATH": ADMINISTRATORS_PATH,
            "HOME": str(self.data),
            "KUBECONFIG": str(self.data / "admin.kubeconfig"),
            "KUBERC": "off",
        }


@contextmanager
def _only_one() -> Iterator[None]:
    """Keep other processes from removing a folder that is new and not locked yet."""
    HOME.mkdir(exist_ok=True)
    with HOME.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cgroup_of(data: Path) -> str:
    """The name of the cgroup of the node in the folder `data`."""
    return CGROUP_PREFIX + data.name


def remove_leftovers(home: Path) -> None:
    """Remove what nodes that no longer live have left: their cgroups and folders."""
    for data in home.iterdir():
        with (data / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            cgroups.remove(cgroup_of(data))
            shutil.rmtree(data)
