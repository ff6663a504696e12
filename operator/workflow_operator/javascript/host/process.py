"""Sandbox processes and the zygote that forks them."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import resource
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_operator.history.errors import EngineCrash
from workflow_operator.javascript.host import reports
from workflow_operator.javascript.host.channel import Channel
from workflow_operator.javascript.host.messages import Exit
from workflow_operator.javascript.worker.vm.bridge import Fresh

logger = logging.getLogger(__name__)

_PACKET_BYTES = 4096
_STDERR_BYTES = 64 * 1024
_START_SECONDS = 30.0
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from workflow_operator.javascript.worker.zygote import main; main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
)
# English and UTC are what scripts see; nothing of the executor's environment reaches a sandbox.
_ENVIRONMENT = {"TZ": "UTC", "LANG": "en_US.UTF-8", "LC_ALL": "en_US.UTF-8", "PYTHONUTF8": "1"}


class SandboxProcess:
    """One sandbox process. ``exited`` is set once the zygote has reaped it, or is gone itself.

    A job of it may have at most ``memory_bytes`` as heap.
    """

    def __init__(self, identity: str, channel: Channel, stderr: int, memory_bytes: int) -> None:
        self.identity = identity
        self.channel = channel
        self.memory_bytes = memory_bytes
        self.namespace: str | None = None
        self.pid: int | None = None
        self._ready = False
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._stderr = stderr

    @property
    def alive(self) -> bool:
        return not self.exited.done()

    @property
    def speaks(self) -> bool:
        """Whether it has sent something since it was ready that nobody has received."""
        return self._ready and self.channel.pending

    @property
    def speaks_now(self) -> bool:
        """Whether something that it has sent since it was ready was read, and nobody has taken it."""
        return self._ready and self.channel.ready

    def cpu_seconds(self) -> float:
        """Processor time that it has used in its life; 0 where that is not known."""
        if self.pid is None or not self.alive:
            return 0.0
        try:
            # The clock of a process, as clock_getcpuclockid(3) makes its number.
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            return 0.0

    def ended(self, end: Exit) -> None:
        if not self.exited.done():
            self.exited.set_result(end)

    def stderr(self) -> str:
        """What the process has written to its standard error since the last call."""
        with suppress(BlockingIOError):
            return os.read(self._stderr, _STDERR_BYTES).decode("utf-8", "replace")
        return ""

    async def wait_ready(self) -> None:
        """Until the process is confined and takes jobs. Raises EngineCrash when it does not come up."""
        if self._ready:
            return
        try:
            async with asyncio.timeout(_START_SECONDS):
                body = await self.channel.receive()
                if body is not None:
                    self.pid = _pid(body)
                    self._ready = True
                    return
                end = await asyncio.shield(self.exited)
        except TimeoutError:
            raise EngineCrash(f"a sandbox process did not get ready within {_START_SECONDS:g} s") from None
        except ValueError as error:
            raise EngineCrash(f"a sandbox process did not say that it is ready: {error}") from error
        raise EngineCrash(f"a sandbox process did not start ({end.code}): {self.stderr().strip()}")

    def release(self) -> None:
        """Give back this side's descriptors. The process ends at the end of its socket, if it has not yet."""
        self.channel.close()
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1


def _pid(ready: bytes) -> int:
    # Before a script has run in it, so it is our own code that says this.
    message = json.loads(ready)
    match message:
        case {"kind": "ready", "pid": int(pid), **rest} if not rest and pid > 1:
            return pid
    raise ValueError(f"expected a message of kind ready, got {ready[:200]!r}")


class Zygote:
    """The process that forks sandboxes. When it dies all its sandboxes do, and ``fork`` starts another one.

    A job of its sandboxes may have at most ``memory_bytes`` as heap, and gets what is ``fresh``.
    """

    def __init__(self, memory_bytes: int, fresh: Fresh) -> None:
        self._memory_bytes = memory_bytes
        self._fresh = fresh
        self._stderr = -1
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._processes: dict[str, SandboxProcess] = {}
        self._closed = False
        self._numbers = itertools.count(1)
        self._started: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Start it if it does not run. Raises EngineCrash when it does not come up."""
        if self._started is None:
            self._spawn()
        assert self._started is not None
        await asyncio.shield(self._started)

    async def fork(self) -> SandboxProcess:
        """A new sandbox process, which may still be getting ready. Raises EngineCrash."""
        await self.start()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        bell_read, bell_write = os.pipe()
        stderr_read, stderr_write = os.pipe()
        os.set_blocking(stderr_read, False)
        # Shared with the process: what does not fit is lost instead of stopping it.
        for written in (bell_write, stderr_write):
            os.set_blocking(written, False)
        channel = Channel(ours, bell_read)
        process = SandboxProcess(str(next(self._numbers)), channel, stderr_read, self._memory_bytes)
        self._processes[process.identity] = process
        self._send({"fork": process.identity}, [theirs.fileno(), bell_write, stderr_write])
        theirs.close()
        for written in (bell_write, stderr_write):
            os.close(written)
        return process

    def kill(self, process: SandboxProcess) -> None:
        """End a process at once; the zygote does it, because only its parent knows that the pid is still the same."""
        if process.alive:
            self._send({"kill": process.identity}, [])

    def kill_from_a_thread(self, process: SandboxProcess) -> None:
        """End a process at once, while the event loop stands still."""
        control = self._control
        if control is not None:
            with suppress(OSError):
                control.send(json.dumps({"kill": process.identity}).encode())

    async def close(self) -> None:
        """End the zygote and every sandbox, and wait for it."""
        self._closed = True
        self._lost()
        if self._process is not None:
            # It ends its sandboxes first, so that nothing is left when this returns.
            await asyncio.to_thread(self._process.wait)

    def _spawn(self) -> None:
        if self._closed:
            raise EngineCrash("the sandbox pool is closed")
        if self._process is not None:
            self._process.wait()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            path = [entry for entry in sys.path if Path(entry).is_absolute()]
            self._stderr, stderr_write = os.pipe()
            os.set_blocking(self._stderr, False)
            os.set_blocking(stderr_write, False)
            arguments = [json.dumps(path), str(theirs.fileno()), str(self._memory_bytes), self._fresh]
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-c", _BOOT, *arguments],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stderr=stderr_write,
                    env=_ENVIRONMENT,
                    cwd="/",
                )
            finally:
                os.close(stderr_write)
        ours.setblocking(False)
        self._control = ours
        loop = asyncio.get_running_loop()
        self._started = loop.create_future()
        loop.add_reader(ours.fileno(), self._readable)

    def _send(self, message: dict[str, Any], descriptors: list[int]) -> None:
        try:
            if self._control is None:
                raise ConnectionError("the zygote is gone")
            socket.send_fds(self._control, [json.dumps(message).encode()], descriptors)
        except OSError:
            self._lost()

    def _readable(self) -> None:
        assert self._control is not None
        try:
            packet = self._control.recv(_PACKET_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._lost()
            return
        message = json.loads(packet)
        if "started" in message and self._started is not None and not self._started.done():
            self._started.set_result(None)
            if self._fresh == "realm" and message["missing"]:
                logger.warning(reports.no_realms(message["missing"]))
        elif "exited" in message and (process := self._processes.pop(message["exited"], None)) is not None:
            process.ended(Exit(message["code"], message["peak_bytes"]))

    def _lost(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        if self._process is not None and not self._closed:
            # Its sandboxes die with it, by order of the kernel.
            self._process.kill()
        words = self._last_words()
        if self._started is not None and not self._started.done():
            self._started.set_exception(EngineCrash(_no_start(words)))
            self._started.exception()
        elif words and not self._closed:
            logger.warning("the process that holds V8 ended: %s", reports.cut(words.strip(), 2000))
        self._started = None
        for process in self._processes.values():
            process.ended(Exit(None))
        self._processes.clear()

    def _last_words(self) -> str:
        if self._stderr < 0:
            return ""
        try:
            return os.read(self._stderr, _STDERR_BYTES).decode("utf-8", "replace")
        except BlockingIOError:
            return ""
        finally:
            os.close(self._stderr)
            self._stderr = -1


def _no_start(words: str) -> str:
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    try:
        overcommit = Path("/proc/sys/vm/overcommit_memory").read_text()
    except OSError:
        overcommit = ""
    return reports.no_start(words, None if address_space == resource.RLIM_INFINITY else address_space, overcommit)
