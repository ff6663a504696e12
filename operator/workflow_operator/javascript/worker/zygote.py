"""The zygote: a process with V8 loaded and no isolate, which forks the sandbox processes.

It is asked over a SOCK_SEQPACKET socket, one JSON object in each packet:

    {"fork": id} with three descriptors: the sandbox's socket, its bell, and where its standard error goes
    {"kill": id}
    -> {"started": pid, "missing": the first symbols that V8's library lacks for realms}
       {"exited": id, "code": exit code or -signal, "peak_bytes": n}

It ends, and all sandbox processes with it, when the executor's end is closed.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
from typing import Any, NoReturn

from workflow_operator.javascript.worker import child, confine
from workflow_operator.javascript.worker.vm import engines
from workflow_operator.javascript.worker.vm.bridge import Fresh

_PACKET_BYTES = 4096
# Of missing symbols, which have up to 350 characters.
_MOST_TOLD = 3
_FORK_FAILED = 71  # EX_OSERR
# Below the executor, which serves all of them: about a tenth of its share where both want a processor.
_NICE = 10


class Zygote:
    """Forks sandboxes that make this for each run. ``missing``: what V8's library lacks for realms."""

    def __init__(self, control: socket.socket, memory_bytes: int, fresh: Fresh, missing: list[str]) -> None:
        self._control = control
        self._memory_bytes = memory_bytes
        self._fresh = fresh
        self._missing = missing
        # Read once, before a sandbox may not open files.
        self._source = engines.source(fresh)
        self._children: dict[int, str] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def run(self) -> None:
        """Serve until the executor's end is closed."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)
        # The end comes from the executor, which may still drain: these reach the whole process group.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._report({"started": os.getpid(), "missing": self._missing[:_MOST_TOLD]})
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake_read in ready:
                os.read(self._wake_read, _PACKET_BYTES)
                self._reap()
            if self._control.fileno() in ready and not self._serve():
                break
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)

    def _serve(self) -> bool:
        """Answer one request; False at the executor's end of file."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, _PACKET_BYTES, 3)
        except ConnectionResetError:
            # It was killed before it read our last words.
            return False
        if not packet:
            return False
        request = json.loads(packet)
        if "fork" in request:
            self._fork(request["fork"], descriptors)
        else:
            self._kill(request["kill"])
        return True

    def _fork(self, identity: str, descriptors: list[int]) -> None:
        channel, bell, errors = descriptors
        parent = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                self._become_child(parent, channel, bell, errors)
        except OSError as error:
            os.write(errors, f"fork: {error}".encode())
            self._report({"exited": identity, "code": _FORK_FAILED, "peak_bytes": 0})
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._children[pid] = identity

    def _become_child(self, parent: int, channel: int, bell: int, errors: int) -> NoReturn:
        try:
            confine.die_with_parent(parent)
            os.nice(_NICE)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(errors, 1)
            os.dup2(errors, 2)
            # Out of the way first: they may have each other's numbers.
            channel, bell = (fcntl.fcntl(descriptor, fcntl.F_DUPFD, 16) for descriptor in (channel, bell))
            os.dup2(channel, 3)
            os.dup2(bell, 4)
            os.closerange(5, 4096)
            child.serve(3, 4, self._fresh, self._source, self._memory_bytes)
        except BaseException as error:
            os.write(2, f"sandbox process: {error!r}\n".encode())
        os._exit(70)

    def _kill(self, identity: str) -> None:
        for pid, known in self._children.items():
            if known == identity:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._children:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            identity = self._children.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            self._report({"exited": identity, "code": code, "peak_bytes": usage.ru_maxrss * 1024})

    def _report(self, message: dict[str, Any]) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:
            os._exit(0)


def main(control: int, memory_bytes: int, fresh: Fresh) -> None:
    """Load V8 and serve. ``memory_bytes`` is the most that a job of these sandboxes may have as heap."""
    missing = engines.initialise()
    # Loaded on first use, which in a sandbox process would need a file.
    for codec in ("utf-8", "utf-16-le", "ascii", "latin-1"):
        "".encode(codec)
    Zygote(socket.socket(fileno=control), memory_bytes, engines.possible(fresh, missing), missing).run()


def _wake(number: int, frame: object) -> None:
    """The wake-up descriptor does the work; a handler must exist for it."""
