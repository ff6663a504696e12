"""One run in one sandbox process, seen from the executor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, TypeVar

from workflow_operator.history.errors import EngineCrash, HostLimit, ScriptError, Thrown
from workflow_operator.javascript.host import envelope, reports
from workflow_operator.javascript.host.guard import (
    BUDGET_SECONDS,
    BUDGET_SPAN_SECONDS,
    Interrupted,
    LoopBudget,
    LoopGuard,
)
from workflow_operator.javascript.host.messages import HostCall, Job, JsonValue, LogLine, Returned, Spent
from workflow_operator.javascript.host.places import Source
from workflow_operator.javascript.host.process import SandboxProcess
from workflow_operator.javascript.worker.wire import frame_cap

T = TypeVar("T")

_EXIT_GRACE_SECONDS = 5.0
# How often a script that computes is looked at; the kernel, which stops it first, counts in whole seconds.
_LOOK_SECONDS = 1.0
_KERNEL_GRACE_SECONDS = 3.0


class _Run:
    """What the executor knows of the run that is under way."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.source = Source(job.script)
        self.wall_left = job.limits.wall_seconds
        self.cpu_from: float | None = None
        self.asked = False
        self.lines = 0
        self.since = "before its first host call"


class Session:
    """Drives one script at a time: ``begin``, then ``next`` until it returns Returned or raises a ScriptError.

    A HostCall must be answered (``answer`` or ``throw``) before the following ``next``. Cancelling ``next``
    loses no message. After a run that returned or threw the same session can ``begin`` another one.
    """

    def __init__(self, process: SandboxProcess, guard: LoopGuard, clock: Callable[[], float]) -> None:
        self._process = process
        self._guard = guard
        self._clock = clock
        self._run: _Run | None = None
        self._budget = LoopBudget(clock())
        self._over_budget = False
        self._received_bytes = 0
        self._broken = False

    @property
    def pid(self) -> int | None:
        """Of the sandbox process; None until it is known."""
        return self._process.pid

    @property
    def clean(self) -> bool:
        """The process is between two runs, and fit for another one."""
        unfit = self._broken or self._over_budget or self._process.speaks
        return self._run is None and not unfit and self._process.alive

    async def guarded(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await what handles this session's messages, and count the time that it costs the event loop.

        ``next`` raises HostLimit once it is over the budget of a run.
        """
        return await self._guard.watch(work(), self._process, self._spent)

    def _spent(self, seconds: float) -> None:
        if not self._budget.charge(seconds, self._received_bytes, self._clock()):
            self._over_budget = True
        self._received_bytes = 0

    async def begin(self, job: Job) -> None:
        """Hand the script over; it starts at once. Raises EngineCrash where the process is not as it should be."""
        if self._run is not None:
            raise RuntimeError(f"{job.instance_id}: the run before, {self._run.job.instance_id}, has not ended yet")
        if self._broken or self._over_budget:
            raise RuntimeError(f"{job.instance_id}: this session's process is gone or unfit, take another session")
        if self._process.speaks:
            self._broken = True
            raise _malformed("a message between two runs")
        if job.limits.memory_bytes > self._process.memory_bytes:
            raise ValueError(
                f"{job.instance_id}: expected at most {self._process.memory_bytes} bytes of memory, as the pool was "
                f"told, got {job.limits.memory_bytes}"
            )
        self._process.channel.take_frames_of(frame_cap(job.limits.payload_bytes))
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
                "lenient": job.lenient,
            }
        )
        self._run = _Run(job)

    async def next(self) -> HostCall | LogLine | Returned:
        """What the script does next.

        Raises Timeout, CpuLimit, MemoryLimit, HostLimit, EngineCrash, PayloadTooLarge, Deadlock, NotSerializable or
        Thrown: the run is over then.
        """
        run = self._running()
        if run.asked:
            raise RuntimeError(f"{run.job.instance_id}: the host call before has not been answered")
        try:
            return self._taken(run, await self._message(run))
        except ScriptError as error:
            # The script may still be in the middle of its run; or a limit has left the process in a state of its own.
            self._broken |= not isinstance(error, Thrown)
            self._run = None
            raise

    async def _message(self, run: _Run) -> HostCall | LogLine | Returned:
        while True:
            body = await self._receive(run)
            try:
                with self._guard.breaking_off():
                    message = envelope.parse(body, run.source, run.job.limits)
            except Interrupted:
                raise _host_limit(run) from None
            except envelope.Malformed as error:
                raise _malformed(str(error)) from None
            if isinstance(message, ScriptError):
                raise reports.last_seen(message, run.since)
            if not isinstance(message, Spent):
                return message
            if self._broken:
                raise _malformed("once more that its process is spent")
            self._broken = True

    def _taken(self, run: _Run, message: HostCall | LogLine | Returned) -> HostCall | LogLine | Returned:
        match message:
            case LogLine():
                run.lines += 1
                # One more than the limit says that it is reached.
                if run.lines > run.job.limits.log_lines + 1:
                    raise _malformed(f"more than {run.job.limits.log_lines} log lines")
            case HostCall(name, _, line, _):
                run.asked = True
                run.since = f"after {name}" + (f" in line {line}" if line else "")
            case Returned():
                self._run = None
        return message

    async def answer(self, value: JsonValue, time_ms: int, *, recorded: bool = True) -> None:
        """The result of the host call; the script goes on. ``time_ms`` is what Date shows from now on.

        ``recorded``: an event of the history answers, so the limit of processor time begins anew.
        """
        # The order is the sandbox's: see wire.py.
        run = self._reply({"kind": "answer", "recorded": recorded, "time_ms": time_ms, "value": value})
        if recorded:
            run.cpu_from = self._process.cpu_seconds()

    async def throw(self, name: str, message: str) -> None:
        """The host call throws an Error with this name and message in the script."""
        self._reply({"kind": "throw", "name": name, "message": message})

    def _reply(self, message: dict[str, object]) -> _Run:
        run = self._running()
        if not run.asked:
            raise RuntimeError(f"{run.job.instance_id}: there is no host call to answer")
        if self._process.speaks:
            self._run, self._broken = None, True
            raise _malformed("a message while the script waits for an answer")
        self._process.channel.send(message)
        run.asked = False
        run.wall_left = run.job.limits.wall_seconds
        return run

    def _running(self) -> _Run:
        if self._run is None:
            raise RuntimeError("no run has begun, or it has ended")
        return self._run

    async def _receive(self, run: _Run) -> bytes:
        await self._process.wait_ready()
        if run.cpu_from is None:
            run.cpu_from = self._process.cpu_seconds()
        while True:
            # Where the kernel does not stop it, somebody has taken its limit off: also one who goes on speaking.
            if self._process.cpu_seconds() - run.cpu_from > run.job.limits.cpu_seconds + _KERNEL_GRACE_SECONDS:
                raise reports.processor(run.job.limits, run.since)
            wait = min(run.wall_left, _LOOK_SECONDS)
            last = wait == run.wall_left
            started = self._clock()
            try:
                async with asyncio.timeout(wait):
                    body = await self._process.channel.receive()
                break
            except TimeoutError:
                if last:
                    raise reports.wall(run.job.limits, run.since) from None
            finally:
                run.wall_left = max(0.0, run.wall_left - (self._clock() - started))
        # Told once the loop turns: the watchdog may have ended the process for it.
        if self._over_budget:
            raise _host_limit(run)
        if body is None:
            raise await self._death(run)
        self._received_bytes += len(body)
        return body

    async def _death(self, run: _Run) -> ScriptError:
        if self._process.channel.error is not None:
            return _malformed(str(self._process.channel.error))
        try:
            async with asyncio.timeout(_EXIT_GRACE_SECONDS):
                end = await asyncio.shield(self._process.exited)
        except TimeoutError:
            return EngineCrash("the sandbox closed its socket and did not end")
        return reports.death(end, self._process.stderr(), run.job.limits, run.since)


def _malformed(what: str) -> EngineCrash:
    return EngineCrash(f"the sandbox sent something that it never sends: {what}")


def _host_limit(run: _Run) -> HostLimit:
    return HostLimit(
        f"what the script sends took its executor more than {BUDGET_SECONDS:g} s of computing within "
        f"{BUDGET_SPAN_SECONDS:g} s, {run.since}; send fewer or smaller values"
    )
