"""The sandbox process: one namespace, one job at a time, each on a fresh isolate."""

from __future__ import annotations

import json
import os
import resource
from typing import NoReturn

from workflow_operator.javascript.worker import confine, job
from workflow_operator.javascript.worker.bridge import Isolate
from workflow_operator.javascript.worker.wire import encode, frame, read_frame, write_all

# What may be taken beside the heap that V8 itself limits: a collection copies before it frees, a result is serialised.
# With less, the kernel's refusal comes first and kills the process where V8 would have stopped the script.
_SLACK_BYTES = 64 * 1024 * 1024


class SocketExchange:
    """Forwards the script's messages unread. The executor's end of file ends the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def tell(self, text: str) -> None:
        write_all(self._descriptor, frame(text.encode("utf-8", "replace")))

    def ask(self, text: str) -> str:
        self.tell(text)
        reply = read_frame(self._descriptor)
        if reply is None:
            os._exit(0)
        return reply.decode("utf-8")


def serve(descriptor: int, prelude: str) -> NoReturn:
    """Run jobs from the socket until its end."""
    exchange = SocketExchange(descriptor)
    memory = confine.MemoryMeter()
    confine.confine()
    isolate = _isolate(prelude, exchange)
    write_all(descriptor, encode({"kind": "ready", "pid": os.getpid()}))
    while (request := read_frame(descriptor)) is not None:
        message = json.loads(request)
        if message["kind"] != "job":
            raise ValueError(f"expected a job, got a message of kind {message['kind']!r}")
        _limit(message["limits"], memory.data_bytes())
        outcome = job.run(isolate, message)
        # Before the outcome is told, so that nothing of this job can speak after it.
        isolate.close()
        exchange.tell(outcome)
        # The next isolate is made now, so that the next job does not wait for it.
        confine.limit_data(resource.RLIM_INFINITY)
        isolate = _isolate(prelude, exchange)
    os._exit(0)


def _isolate(prelude: str, exchange: SocketExchange) -> Isolate:
    return Isolate(prelude, exchange, on_error=_die)


def _die(error: BaseException) -> NoReturn:
    os.write(2, f"sandbox process: {error!r}\n".encode())
    os._exit(70)


def _limit(limits: dict[str, int], data_bytes: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    confine.limit_cpu(int(usage.ru_utime + usage.ru_stime) + 1 + limits["cpu_seconds"])
    confine.limit_data(data_bytes + limits["memory_bytes"] * 3 // 2 + _SLACK_BYTES)
