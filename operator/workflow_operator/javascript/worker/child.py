"""The sandbox process: one namespace, one job at a time, each on a fresh isolate."""

from __future__ import annotations

import json
import os
import resource
from typing import NoReturn

from workflow_operator.javascript.worker import confine, job
from workflow_operator.javascript.worker.bridge import Isolate
from workflow_operator.javascript.worker.wire import answered_by_record, encode, frame, read_frame, write_all

# What may be taken beside the heap that V8 itself limits: a collection copies before it frees, a result is serialised.
# With less, the kernel's refusal comes first and kills the process where V8 would have stopped the script.
_SLACK_BYTES = 64 * 1024 * 1024
# Kept by the allocator after a run, for the next one to see in what it can allocate.
_MOST_KEPT_BYTES = 16 * 1024 * 1024
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
        self._limit(confine.LIFE_CPU_SECONDS)

    def _limit(self, seconds: int) -> None:
        if seconds != self._set:
            confine.limit_cpu(seconds)
            self._set = seconds


class SocketExchange:
    """Forwards the script's messages unread. The executor's end of file ends the process."""

    def __init__(self, descriptor: int, processor: ProcessorTime) -> None:
        self._descriptor = descriptor
        self._processor = processor

    def tell(self, text: str) -> None:
        write_all(self._descriptor, frame(text.encode("utf-8", "replace")))

    def ask(self, text: str) -> str:
        self.tell(text)
        reply = read_frame(self._descriptor)
        if reply is None:
            os._exit(0)
        if answered_by_record(reply):
            self._processor.renew()
        return reply.decode("utf-8")


def serve(descriptor: int, prelude: str, memory_bytes: int) -> NoReturn:
    """Run jobs from the socket until its end; each may have at most ``memory_bytes`` as heap."""
    processor = ProcessorTime()
    exchange = SocketExchange(descriptor, processor)
    memory = confine.MemoryMeter()
    confine.confine()
    isolate = _isolate(prelude, exchange)
    # All sizes count from here, so that no job's limit depends on what the one before it left behind.
    blank = memory.data_bytes()
    confine.limit_data_for_life(blank + _beside(memory_bytes))
    write_all(descriptor, encode({"kind": "ready", "pid": os.getpid()}))
    while (request := read_frame(descriptor)) is not None:
        message = json.loads(request)
        if message["kind"] != "job":
            raise ValueError(f"expected a job, got a message of kind {message['kind']!r}")
        confine.limit_data(blank + _beside(message["limits"]["memory_bytes"]))
        processor.begin(message["limits"]["cpu_seconds"])
        outcome = job.run(isolate, message)
        # Before the outcome is told, so that nothing of this job can speak after it.
        isolate.close()
        processor.end()
        confine.limit_data(resource.RLIM_INFINITY)
        if _spent(memory, blank):
            exchange.tell('{"kind":"spent"}')
            exchange.tell(outcome)
            break
        exchange.tell(outcome)
        # The next isolate is made now, so that the next job does not wait for it.
        isolate = _isolate(prelude, exchange)
    os._exit(0)


def _isolate(prelude: str, exchange: SocketExchange) -> Isolate:
    return Isolate(prelude, exchange, on_error=_die)


def _die(error: BaseException) -> NoReturn:
    os.write(2, f"sandbox process: {error!r}\n".encode())
    os._exit(70)


def _beside(memory_bytes: int) -> int:
    return memory_bytes * 3 // 2 + _SLACK_BYTES


def _spent(memory: confine.MemoryMeter, blank: int) -> bool:
    if memory.data_bytes() > blank + _MOST_KEPT_BYTES:
        confine.give_back_memory()
    return memory.data_bytes() > blank + _MOST_KEPT_BYTES or _processor_seconds() > _SPENT_SECONDS


def _processor_seconds() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int(usage.ru_utime + usage.ru_stime)
