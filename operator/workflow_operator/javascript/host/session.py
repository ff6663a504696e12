"""One run in one sandbox process, seen from the executor."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

import msgspec

from workflow_operator.history import Json, as_it_is
from workflow_operator.history.errors import EngineCrash, HostLimit, ScriptError, Thrown
from workflow_operator.javascript.host import envelope, reports
from workflow_operator.javascript.host.guard import (
    BUDGET_SECONDS,
    BUDGET_SPAN_SECONDS,
    Interrupted,
    LoopBudget,
    LoopGuard,
)
from workflow_operator.javascript.host.messages import (
    AsyncCall,
    Effect,
    Forms,
    GivenUp,
    HostCall,
    Idle,
    Job,
    LogLine,
    Result,
    Returned,
    Spent,
    Turn,
)
from workflow_operator.javascript.host.places import Source
from workflow_operator.javascript.host.process import SandboxProcess
from workflow_operator.javascript.host.told import NotExpected, Told
from workflow_operator.javascript.worker.wire import encode, frame, frame_cap, join

T = TypeVar("T")
Said: TypeAlias = HostCall | AsyncCall | Effect | GivenUp | Result | Idle | LogLine | Returned

_EXIT_GRACE_SECONDS = 5.0
# How often a script that computes is looked at: for what it told, and for what it has used (the kernel, which stops it
# first, counts in whole seconds).
_LOOK_SECONDS = 0.025
_KERNEL_GRACE_SECONDS = 3.0
# What one run receives in one turn of the loop: 32 small messages.
_TURN_BYTES = 64 * 1024
_MESSAGE_WEIGHT_BYTES = 2048


class _Run:
    """What the executor knows of the run that is under way."""

    def __init__(self, job: Job, told: Told, cpu_seconds: float | None) -> None:
        self.job = job
        self.told = told
        self.source = Source(job.script)
        self.wall_left = job.limits.wall_seconds
        self.cpu_from = cpu_seconds
        self.asked = False
        self.idle = False
        self.lines = 0
        self.since = "before its first host call"


class Session:
    """Drives one script at a time: ``begin``, then ``next`` until it returns Returned or raises a ScriptError.

    A HostCall that wants an answer must be answered (``answer`` or ``throw``) before the following ``next``; behind any
    other the script has gone on. Cancelling ``next`` loses no message. After a run that returned or threw the same
    session can ``begin`` another one.
    """

    def __init__(self, process: SandboxProcess, guard: LoopGuard, forms: Forms, clock: Callable[[], float]) -> None:
        self._process = process
        self._forms = forms
        self._guard = guard
        self._clock = clock
        self._run: _Run | None = None
        self._budget = LoopBudget(clock())
        self._over_budget = False
        self._received_bytes = 0
        self._turn_bytes = 0
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
            raise reports.never_sent("a message between two runs")
        if job.limits.memory_bytes > self._process.memory_bytes:
            raise ValueError(
                f"{job.instance_id}: expected at most {self._process.memory_bytes} bytes of memory, as the pool was "
                f"told, got {job.limits.memory_bytes}"
            )
        # What was said before the job is held to the small cap; what its script says can be read with the first words.
        self._process.channel.look(at_once=True)
        self._process.channel.take_frames_of(frame_cap(job.limits.payload_bytes))
        # Before the script can go on: its time must not seem to be ahead of ours.
        now = self._clock()
        self._process.channel.send(frame(_body(job)))
        # Of one that is getting ready it is not known yet.
        cpu_from = None if self._process.pid is None else self._process.cpu_seconds()
        self._run = _Run(job, Told(job, self._forms.markers, now), cpu_from)

    async def next(self) -> Said:
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

    async def _message(self, run: _Run) -> Said:
        while True:
            # Most have arrived with others, and nothing is to be waited for.
            if (body := self._at_hand()) is None:
                body = await self._receive(run)
            try:
                message = self._guard.breaking_off(envelope.parse, body, run.source, run.job.limits, self._forms.takes)
            except Interrupted:
                raise _host_limit(run) from None
            except envelope.Malformed as error:
                raise reports.never_sent(str(error)) from None
            if isinstance(message, ScriptError):
                raise reports.last_seen(message, run.since)
            if not isinstance(message, Spent):
                return message
            if self._broken:
                raise reports.never_sent("once more that its process is spent")
            self._broken = True

    def _taken(self, run: _Run, message: Said) -> Said:
        match message:
            case Idle():
                run.asked = run.idle = True
                run.lines = 0
                run.cpu_from = None
                run.wall_left = run.job.limits.wall_seconds
            case LogLine():
                run.lines += 1
                # One more than the limit says that it is reached.
                if run.lines > run.job.limits.log_lines + 1:
                    raise reports.never_sent(f"more than {run.job.limits.log_lines} log lines")
            case HostCall(name, _, line):
                try:
                    run.told.check(message, self._clock())
                except NotExpected as error:
                    raise reports.never_sent(str(error)) from None
                run.asked = message.wants_answer
                run.lines = 0
                # To be looked at when all that has arrived is read: meanwhile the script may have told of others.
                run.cpu_from = None
                run.wall_left = run.job.limits.wall_seconds
                run.since = f"after {name}" + (f" in line {line}" if line else "")
            case AsyncCall(_, name, _, line):
                run.since = f"after {name}" + (f" in line {line}" if line else "")
            case Returned():
                self._run = None
        return message

    async def answer(self, value: Json | None, time_ms: int) -> None:
        """The result of the host call; the script goes on. ``time_ms`` is what Date shows from now on."""
        data = b"null" if value is None else value.data
        self._reply(frame(b'{"kind":"answer","time_ms":%d,"value":%b}' % (time_ms, data)), time_ms)

    async def throw(self, name: str, message: str, time_ms: int) -> None:
        """The host call throws an Error with this name and message in the script; otherwise as ``answer``."""
        self._reply(encode({"kind": "throw", "time_ms": time_ms, "name": name, "message": message}), time_ms)

    def _reply(self, reply: bytes, time_ms: int) -> None:
        now = self._clock()
        run = self._running()
        if not run.asked or run.idle:
            raise RuntimeError(f"{run.job.instance_id}: there is no host call to answer")
        self._send(run, reply)
        run.told.answered(time_ms, now)

    async def turn(self, turn: Turn) -> None:
        """What the script goes on with, which is idle."""
        now = self._clock()
        run = self._running()
        if not run.idle:
            raise RuntimeError(f"{run.job.instance_id}: the script is not idle")
        own = {"kind": turn.kind, "time_ms": turn.time_ms, "now_ms": turn.now_ms, "answered_ms": turn.answered_ms}
        self._send(run, frame(_JSON.encode(own | dict(turn.fields))))
        run.idle = False
        run.told.turned(turn, now)

    def _send(self, run: _Run, reply: bytes) -> None:
        if self._process.speaks:
            self._run, self._broken = None, True
            raise reports.never_sent("a message while the script waits for an answer")
        self._process.channel.send(reply)
        run.asked = False
        run.cpu_from = self._process.cpu_seconds()
        run.wall_left = run.job.limits.wall_seconds

    def _running(self) -> _Run:
        if self._run is None:
            raise RuntimeError("no run has begun, or it has ended")
        return self._run

    def _at_hand(self) -> bytes | None:
        if self._over_budget or self._turn_bytes >= _TURN_BYTES or not self._process.speaks_now:
            return None
        return self._counted(self._process.channel.take())

    def _counted(self, body: bytes | None) -> bytes | None:
        if body is not None:
            self._received_bytes += len(body)
            self._turn_bytes += _MESSAGE_WEIGHT_BYTES + len(body)
        return body

    async def _receive(self, run: _Run) -> bytes:
        channel = self._process.channel
        await self._process.wait_ready()
        await self._let_others_run()
        while not channel.ready:
            # First: an event that was told and not read renews the limits.
            if channel.look() or channel.closed:
                break
            run.cpu_from = self._process.cpu_seconds() if run.cpu_from is None else run.cpu_from
            # Where the kernel does not stop it, somebody has taken its limit off: also one who goes on speaking.
            if self._process.cpu_seconds() - run.cpu_from > run.job.limits.cpu_seconds + _KERNEL_GRACE_SECONDS:
                raise reports.processor(run.job.limits, run.since)
            if run.wall_left <= 0:
                raise reports.wall(run.job.limits, run.since)
            started = self._clock()
            try:
                await channel.wait(min(run.wall_left, _LOOK_SECONDS))
            finally:
                run.wall_left -= self._clock() - started
        if (body := self._counted(channel.take())) is None:
            death = await self._death(run)
            # Known once the loop has turned: the watchdog may have ended the process for it.
            raise _host_limit(run) if self._over_budget else death
        if self._over_budget:
            raise _host_limit(run)
        return body

    async def _let_others_run(self) -> None:
        # Thousands of messages can be here already: without a pause, nothing else would happen in this process.
        if self._turn_bytes >= _TURN_BYTES:
            self._turn_bytes = 0
            await asyncio.sleep(0)

    async def _death(self, run: _Run) -> ScriptError:
        if self._process.channel.error is not None:
            return reports.never_sent(str(self._process.channel.error))
        try:
            async with asyncio.timeout(_EXIT_GRACE_SECONDS):
                end = await asyncio.shield(self._process.exited)
        except TimeoutError:
            return EngineCrash("the sandbox closed its socket and did not end")
        return reports.death(end, self._process.stderr(), run.job.limits, run.since)


def _body(job: Job) -> bytes:
    own = {
        "entrypoint": job.entrypoint,
        "time_ms": job.time_ms,
        "now_ms": job.now_ms,
        "limits": job.limits,
        "lenient": job.lenient,
    }
    given = {
        "namespace": job.namespace,
        "name": job.name,
        "input": job.input_json,
        "instance_id": job.instance_id,
        "seed": (job.seed & 0xFFFFFFFF, job.seed >> 32 & 0xFFFFFFFF),
        "time_ms": job.time_ms,
        "limits": job.limits,
        "lenient": job.lenient,
    }
    script = job.script.encode("utf-8", "replace")
    return join((_JSON.encode(own), _JSON.encode(given), script, array("q", job.answered_ms).tobytes()))


_JSON = msgspec.json.Encoder(enc_hook=as_it_is)


def _host_limit(run: _Run) -> HostLimit:
    return HostLimit(
        f"what the script sends took its executor more than {BUDGET_SECONDS:g} s of computing within "
        f"{BUDGET_SPAN_SECONDS:g} s, {run.since}; send fewer or smaller values"
    )
