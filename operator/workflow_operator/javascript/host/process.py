"""Sandbox processes and the zygote that forks them."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_operator.history.errors import EngineCrash
from workflow_operator.javascript.host.channel import Channel
from workflow_operator.javascript.host.messages import Exit

_PACKET_BYTES = 4096
_STDERR_BYTES = 64 * 1024
_START_SECONDS = 30.0
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from workflow_operator.javascript.worker.zygote import main; main(int(sys.argv[2]))"
)
# English and UTC are what scripts see; nothing of the executor's environment reaches a sandbox.
_ENVIRONMENT = {"TZ": "UTC", "LANG": "en_US.UTF-8", "LC_ALL": "en_US.UTF-8", "PYTHONUTF8": "1"}


class SandboxProcess:
    """One sandbox process. ``exited`` is set once the zygote has reaped it, or is gone itself."""

    def __init__(self, identity: str, channel: Channel, stderr: int) -> None:
        self.identity = identity
        self.channel = channel
        self.namespace: str | None = None
        self.pid: int | None = None
        self._ready = False
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._stderr = stderr

    @property
    def alive(self) -> bool:
        return not self.exited.done()

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
                    self._ready, self.pid = True, int(json.loads(body)["pid"])
                    return
                end = await asyncio.shield(self.exited)
        except TimeoutError:
            raise EngineCrash(f"a sandbox process did not get ready within {_START_SECONDS:g} s") from None
        except (ValueError, LookupError, TypeError) as error:
            raise EngineCrash(f"a sandbox process did not say that it is ready: {error!r}") from error
        raise EngineCrash(f"a sandbox process did not start ({end.code}): {self.stderr().strip()}")

    def release(self) -> None:
        """Give back this side's descriptors. The process ends at the end of its socket, if it has not yet."""
        self.channel.close()
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1


class Zygote:
    """The process that forks sandboxes. When it dies all its sandboxes do, and ``fork`` starts another one."""

    def __init__(self) -> None:
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
        stderr_read, stderr_write = os.pipe()
        os.set_blocking(stderr_read, False)
        # Shared with the process: what does not fit is lost instead of stopping it.
        os.set_blocking(stderr_write, False)
        ours.setblocking(False)
        try:
            channel = await Channel.open(ours)
            process = SandboxProcess(str(next(self._numbers)), channel, stderr_read)
            self._processes[process.identity] = process
            self._send({"fork": process.identity}, [theirs.fileno(), stderr_write])
        except BaseException:
            ours.close()
            os.close(stderr_read)
            raise
        finally:
            theirs.close()
            os.close(stderr_write)
        return process

    def kill(self, process: SandboxProcess) -> None:
        """End a process at once; the zygote does it, because only its parent knows that the pid is still the same."""
        if process.alive:
            self._send({"kill": process.identity}, [])

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
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOT, json.dumps(path), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
            )
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
        if self._started is not None and not self._started.done():
            self._started.set_exception(EngineCrash("the zygote process did not start; see its standard error"))
            self._started.exception()
        self._started = None
        for process in self._processes.values():
            process.ended(Exit(None))
        self._processes.clear()
