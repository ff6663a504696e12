"""One run in one sandbox process, seen from the executor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict

from workflow_operator.history.errors import EngineCrash, ScriptError, Timeout
from workflow_operator.javascript.host import reports
from workflow_operator.javascript.host.messages import HostCall, Job, JsonValue, LogLine, Returned
from workflow_operator.javascript.host.process import SandboxProcess

_EXIT_GRACE_SECONDS = 5.0


class Session:
    """Drives one script at a time: ``begin``, then ``next`` until it returns Returned or raises a ScriptError.

    A HostCall must be answered (``answer`` or ``throw``) before the following ``next``. Cancelling ``next``
    loses no message. After the end of a run the same session can ``begin`` another one.
    """

    def __init__(self, process: SandboxProcess, clock: Callable[[], float]) -> None:
        self._process = process
        self._clock = clock
        self._job: Job | None = None
        self._left = 0.0
        self._asked = False
        self._broken = False

    @property
    def pid(self) -> int | None:
        """Of the sandbox process; None until it is known."""
        return self._process.pid

    @property
    def clean(self) -> bool:
        """The process is between two runs, and fit for another one."""
        return self._job is None and not self._broken and self._process.alive

    async def begin(self, job: Job) -> None:
        """Hand the script over; it starts at once."""
        if self._broken:
            raise RuntimeError(f"{job.instance_id}: this session's process is gone, take another session")
        if self._job is not None:
            raise RuntimeError(f"{job.instance_id}: the run before, {self._job.instance_id}, has not ended yet")
        self._process.channel.send(
            {
                "kind": "job",
                "script": job.script,
                "entrypoint": job.entrypoint,
                "input": job.input_json,
                "instance_id": job.instance_id,
                "seed": [job.seed & 0xFFFFFFFF, job.seed >> 32 & 0xFFFFFFFF],
                "time_ms": job.time_ms,
                "limits": asdict(job.limits),
            }
        )
        self._job = job
        self._left = job.limits.wall_seconds
        self._asked = False

    async def next(self) -> HostCall | LogLine | Returned:
        """What the script does next.

        Raises Timeout, CpuLimit, MemoryLimit, EngineCrash, PayloadTooLarge, Deadlock, NotSerializable or Thrown:
        the run is over then.
        """
        job = self._running()
        if self._asked:
            raise RuntimeError(f"{job.instance_id}: the host call before has not been answered")
        try:
            message = reports.parse(await self._receive(job), job)
        except reports.Malformed as error:
            self._broken, self._job = True, None
            raise EngineCrash(f"the sandbox sent a malformed message: {error}") from error
        except ScriptError:
            # The script may still be in the middle of its run.
            self._broken, self._job = True, None
            raise
        if isinstance(message, Returned | ScriptError):
            self._job = None
        if isinstance(message, ScriptError):
            raise message
        if isinstance(message, HostCall):
            self._asked = True
        return message

    async def answer(self, value: JsonValue, time_ms: int) -> None:
        """The result of the host call; the script goes on. ``time_ms`` is what Date shows from now on."""
        self._reply({"kind": "answer", "value": value, "time_ms": time_ms})

    async def throw(self, name: str, message: str) -> None:
        """The host call throws an Error with this name and message in the script."""
        self._reply({"kind": "throw", "name": name, "message": message})

    def _reply(self, message: dict[str, object]) -> None:
        job = self._running()
        if not self._asked:
            raise RuntimeError(f"{job.instance_id}: there is no host call to answer")
        self._process.channel.send(message)
        self._asked = False
        self._left = job.limits.wall_seconds

    def _running(self) -> Job:
        if self._job is None:
            raise RuntimeError("no run has begun, or it has ended")
        return self._job

    async def _receive(self, job: Job) -> bytes:
        await self._process.wait_ready()
        started = self._clock()
        try:
            async with asyncio.timeout(self._left):
                body = await self._process.channel.receive()
        except TimeoutError:
            raise Timeout(f"the script ran for more than {job.limits.wall_seconds:g} s without a host call") from None
        finally:
            self._left = max(0.0, self._left - (self._clock() - started))
        if body is None:
            raise await self._death(job)
        return body

    async def _death(self, job: Job) -> ScriptError:
        if self._process.channel.error is not None:
            return EngineCrash(f"the sandbox sent a malformed message: {self._process.channel.error}")
        try:
            async with asyncio.timeout(_EXIT_GRACE_SECONDS):
                end = await asyncio.shield(self._process.exited)
        except TimeoutError:
            return EngineCrash("the sandbox closed its socket and did not end")
        return reports.death(end, self._process.stderr(), job.limits.memory_bytes)
