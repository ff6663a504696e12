"""The sandbox process: one namespace, one job at a time, each in a fresh realm."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from array import array
from collections.abc import Callable
from typing import NoReturn

from workflow_operator.javascript.worker import confine, job
from workflow_operator.javascript.worker.answers import Answers
from workflow_operator.javascript.worker.outbox import Outbox
from workflow_operator.javascript.worker.vm import engines
from workflow_operator.javascript.worker.vm.bridge import Fresh, Realm
from workflow_operator.javascript.worker.wire import read_frame, split

# What may be taken beside the heap that V8 itself limits: a collection copies before it frees, a result is serialised.
# With less, the kernel's refusal comes first and kills the process where V8 would have stopped the script.
_SLACK_BYTES = 64 * 1024 * 1024
# Kept by engine and allocator after a run, for the next one to see in what it can allocate: above the first they are
# told to give it back, and above the second in spite of that the process takes no other job.
_COLLECT_BYTES, _MOST_KEPT_BYTES = 16 * 1024 * 1024, 32 * 1024 * 1024
# Of processor time: a process that has used more takes no other job, so each has the same left of its life.
_SPENT_SECONDS = confine.LIFE_CPU_SECONDS // 6
_EXECUTION_SECONDS = confine.LIFE_CPU_SECONDS - _SPENT_SECONDS - 60


class ProcessorTime:
    """Has the kernel end the process when a job computes for too long without an event of the history."""

    def __init__(self) -> None:
        self._seconds = 0
        self._most = 0
        self._set = 0

    def begin(self, seconds: int) -> None:
        """A job may use ``seconds`` until :meth:`renew`, and a fixed time in all."""
        self._seconds = seconds
        self._most = _processor_seconds() + 1 + _EXECUTION_SECONDS
        self.renew()

    def renew(self) -> None:
        """The seconds begin anew."""
        self._limit(min(_processor_seconds() + 1 + self._seconds, self._most))

    def end(self) -> None:
        """What is left is for the time until the next job. Each limit that is set costs a run as much as a log line."""
        if self._set < _processor_seconds() + 2:
            self._limit(confine.LIFE_CPU_SECONDS)

    def _limit(self, seconds: int) -> None:
        if seconds != self._set:
            confine.limit_cpu(seconds)
            self._set = seconds


class DataSize:
    """Has the kernel refuse a job more memory than it may have. The limit stays for the next one, often the same."""

    def __init__(self) -> None:
        self._set = resource.RLIM_INFINITY

    def limit(self, size: int) -> None:
        if size != self._set:
            confine.limit_data(size)
            self._set = size


class SocketExchange:
    """Forwards the script's messages unread. The executor's end of file ends the process."""

    def __init__(self, descriptor: int, outbox: Outbox, processor: ProcessorTime) -> None:
        self._descriptor = descriptor
        self._outbox = outbox
        self._processor = processor
        self.answers: Answers | None = None

    def tell(self, message: bytes) -> None:
        self._outbox.tell(message)

    def ask(self, message: bytes) -> bytes:
        assert self.answers is not None
        # All are recorded: the limit begins anew with each.
        if (told := self.answers.told(message)) is not None:
            message, answer = told
            # Behind the last one that is known the script may compute for long, and it matters where.
            (self._outbox.keep if self.answers.repeating else self._outbox.tell)(message)
            self._processor.renew()
            return answer
        self._outbox.ask(message)
        reply = read_frame(self._descriptor)
        if reply is None:
            os._exit(0)
        self._processor.renew()
        self.answers.answered(reply)
        return reply


class SocketJobs:
    """Reads jobs and tells how they end; each may have ``memory_bytes`` of heap. Made before it is confined."""

    def __init__(
        self,
        descriptor: int,
        outbox: Outbox,
        memory_bytes: int,
        processor: ProcessorTime,
        exchange: SocketExchange,
    ) -> None:
        self._descriptor = descriptor
        self._outbox = outbox
        self._memory_bytes = memory_bytes
        self._processor = processor
        self._exchange = exchange
        self._memory = confine.MemoryMeter()
        self._data = DataSize()
        self._blank = 0
        self._outcome = ""

    def run(self, realm: Realm) -> None:
        """Run the next job. The executor's end of file ends the process."""
        if not self._blank:
            self._get_ready()
        request = read_frame(self._descriptor)
        if request is None:
            os._exit(0)
        options, given, script, answered = split(request)
        own = json.loads(options)
        limits = own["limits"]
        self._data.limit(self._blank + _beside(limits["memory_bytes"]))
        self._processor.begin(limits["cpu_seconds"])
        self._exchange.answers = Answers(array("q", answered), own["time_ms"], own["now_ms"], time.monotonic)
        what = job.Job(script.decode(), own["entrypoint"], limits["memory_bytes"], given.decode(), own["lenient"])
        self._outcome = job.run(realm, what)

    def ended(self, collect: Callable[[], None]) -> bool:
        """Tell how the job ended, now that nothing of it can speak any more."""
        self._processor.end()
        outcome = self._outcome.encode("utf-8", "replace")
        if self._spent(collect):
            self._outbox.tell(b'{"kind":"spent"}')
            self._outbox.ask(outcome)
            return False
        self._outbox.ask(outcome)
        return True

    def _get_ready(self) -> None:
        # All sizes count from here, so that no job's limit depends on what the one before it left behind.
        self._blank = self._memory.data_bytes()
        confine.limit_data_for_life(self._blank + _beside(self._memory_bytes))
        self._outbox.ask(json.dumps({"kind": "ready", "pid": os.getpid()}).encode())

    def _spent(self, collect: Callable[[], None]) -> bool:
        kept = self._memory.data_bytes() - self._blank
        if kept > _COLLECT_BYTES:
            # A collection copies before it frees.
            self._data.limit(resource.RLIM_INFINITY)
            collect()
            confine.give_back_memory()
            kept = self._memory.data_bytes() - self._blank
        return kept > _MOST_KEPT_BYTES or _processor_seconds() > _SPENT_SECONDS


def serve(descriptor: int, bell: int, fresh: Fresh, source: str, memory_bytes: int) -> NoReturn:
    """Run jobs from the socket until its end; each may have at most ``memory_bytes`` as heap.

    ``bell`` is the pipe that wakes the executor.
    ``source`` is the prelude for what is ``fresh`` for each of them.
    """
    sys.unraisablehook = _not_swallowed
    processor = ProcessorTime()
    outbox = Outbox(descriptor, bell, time.monotonic)
    exchange = SocketExchange(descriptor, outbox, processor)
    jobs = SocketJobs(descriptor, outbox, memory_bytes, processor, exchange)
    confine.confine()
    engines.engine(fresh, source, exchange, on_error=_die).serve(jobs)
    os._exit(0)


def _not_swallowed(error: sys.UnraisableHookArgs) -> None:
    """What ctypes could not call lost a result, or a message of the script, which would go on without it."""
    _die(error.exc_value or error.exc_type())


def _die(error: BaseException) -> NoReturn:
    os.write(2, f"sandbox process: {error!r}\n".encode())
    os._exit(70)


def _beside(memory_bytes: int) -> int:
    return memory_bytes * 3 // 2 + _SLACK_BYTES


def _processor_seconds() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int(usage.ru_utime + usage.ru_stime)
