"""An isolate of V8 for each run, through mini-racer's private interface alone.

Inside the callback from JavaScript nothing else of the library may be called (it would wait for the same thread), so
request and reply travel in an ArrayBuffer that the prelude shares with this module and with nobody else.

The exchange buffer is ``[Int32 operation or more-flag, Int32 unit count, UTF-16 units...]``.
"""

from __future__ import annotations

import ctypes
import queue
from collections.abc import Callable
from enum import IntEnum
from types import TracebackType
from typing import Any

from workflow_operator.javascript.worker.vm import rejections, thread_state, v8
from workflow_operator.javascript.worker.vm.bridge import EngineError, Exchange, Jobs, OutOfMemory
from workflow_operator.javascript.worker.vm.racer import dll as _dll

_RESULT, _EXCHANGE = 0, 1
_HEADER_BYTES = 8
# Of one message in UTF-16; the executor takes far less.
_MAX_MESSAGE_BYTES = 32 * 1024 * 1024


class Kind(IntEnum):
    """mini-racer's value types (mini_racer.cc)."""

    STRING = 5
    UNDEFINED = 11
    FUNCTION = 100
    ARRAY_BUFFER = 102
    EXECUTE_EXCEPTION = 200
    OOM_EXCEPTION = 202


class Operation(IntEnum):
    """What the prelude asks for; the numbers are also in prelude/exchange/buffer.js."""

    PART = 1
    TELL = 2
    ASK = 3
    MORE = 4


class ExchangeError(Exception):
    """The prelude never does this: somebody else is in its place."""


_live: list[Isolate] = []


def _called(callback: int, handle: Any) -> None:
    if not thread_state.called(callback):
        _live[-1].called(callback, handle)


# One for the life of the process: making another needs executable memory, which a sandbox may not have.
_CALLBACK = _dll.MR_CALLBACK(_called)


class IsolateEngine:
    """Makes an isolate for each job, and frees it."""

    def __init__(self, source: str, exchange: Exchange, *, on_error: Callable[[BaseException], None]) -> None:
        self._source = source
        self._exchange = exchange
        self._on_error = on_error

    def serve(self, jobs: Jobs) -> None:
        more = True
        while more:
            with Isolate(self._source, self._exchange, on_error=self._on_error) as isolate:
                jobs.run(isolate)
            more = jobs.ended(_nothing_left)


class Isolate:
    """One V8 isolate with the prelude in it; used for one job, from one thread. One lives at a time."""

    def __init__(self, prelude: str, exchange: Exchange, *, on_error: Callable[[BaseException], None]) -> None:
        self._dll = _dll.init_mini_racer(ignore_duplicate_init=True)
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._exchange = exchange
        self._on_error = on_error
        self._parts: list[bytes] = []
        self._held = 0
        self._reply: list[bytes] = []
        self._address = 0
        self._capacity = 0
        _live.append(self)
        self._context = self._dll.mr_init_context(_CALLBACK)
        thread_state.keep(self._context)
        self._undefined = self._dll.mr_alloc_int_val(self._context, 0, Kind.UNDEFINED)
        self._no_arguments = self._evaluate("[]")
        self._control = self._evaluate(prelude)
        buffer = self._call(self._dll.mr_make_js_callback(self._context, _EXCHANGE)).contents
        if buffer.type != Kind.ARRAY_BUFFER:
            raise RuntimeError(f"the prelude gave no exchange buffer but a value of kind {buffer.type}")
        self._address = buffer.value.value_ptr
        self._capacity = (buffer.len - _HEADER_BYTES) // 2

    def __enter__(self) -> Isolate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the isolate with everything in it."""
        thread_state.give_back(self._context)
        self._dll.mr_free_context(self._context)
        _live.remove(self)

    def limit_heap(self, size: int) -> None:
        self._dll.mr_set_hard_memory_limit(self._context, size)

    def run(self, script: str) -> Any:
        return self._evaluate(script)

    def function(self, expression: str) -> Any:
        result = self._evaluate(expression)
        return result if result.contents.type == Kind.FUNCTION else None

    def text(self, expression: str) -> str:
        result = self._evaluate(expression)
        if result.contents.type != Kind.STRING:
            raise EngineError(f"expected a string from {expression[:80]}")
        return _text(result)

    def control(self, this: Any = None) -> str | None:
        if isinstance(this, str):
            this = self._string(this)
        result = self._call(self._undefined if this is None else this)
        return _text(result) if result.contents.type == Kind.STRING else None

    def _string(self, text: str) -> Any:
        data = text.encode("utf-8", "replace")
        return self._dll.mr_alloc_string_val(self._context, data, len(data), Kind.STRING)

    def _evaluate(self, code: str) -> Any:
        handle = self._string(code)
        self._dll.mr_eval(self._context, handle, _RESULT)
        return self._checked(self._results.get())

    def _call(self, this: Any) -> Any:
        # Without arguments: a script can intercept how an array of them is filled.
        self._dll.mr_call_function(self._context, self._control, this, self._no_arguments, _RESULT)
        return self._checked(self._results.get())

    def _checked(self, handle: Any) -> Any:
        kind = handle.contents.type
        # The kind alone does not tell: a stopped function call is reported as an exception without a value, and a
        # stopped microtask not at all.
        if kind == Kind.OOM_EXCEPTION or self._dll.mr_hard_memory_limit_reached(self._context):
            raise OutOfMemory
        if kind >= Kind.EXECUTE_EXCEPTION:
            raise EngineError(_text(handle))
        return handle

    def called(self, callback: int, handle: Any) -> None:
        """What the library calls, on the isolate's thread: with a result, or with the script's request."""
        if callback == _RESULT:
            self._results.put(handle)
            return
        try:
            self._dll.mr_free_value(self._context, handle)
            self._exchanged()
        except BaseException as error:
            # ctypes would print and swallow it, and the script would go on with a stale reply.
            self._on_error(error)

    def _exchanged(self) -> None:
        if not self._address:
            # The first call of the prelude, before it gives its buffer.
            rejections.listen(v8.kept_global_item(0))
            rejections.watch()
            return
        header = (ctypes.c_int32 * 2).from_address(self._address)
        operation, count = header
        if (operation == Operation.MORE) != bool(self._reply):
            raise ExchangeError(f"operation {operation} with {len(self._reply)} parts of a reply left")
        if operation == Operation.MORE:
            if self._parts:
                raise ExchangeError("a reply was asked for in the middle of a message")
            self._fill(header)
            return
        if operation not in (Operation.PART, Operation.TELL, Operation.ASK) or not 0 <= count <= self._capacity:
            raise ExchangeError(f"operation {operation} of {count} units")
        self._parts.append(ctypes.string_at(self._address + _HEADER_BYTES, 2 * count))
        self._held += 2 * count
        if self._held > _MAX_MESSAGE_BYTES:
            raise ExchangeError(f"a message of more than {_MAX_MESSAGE_BYTES} bytes")
        if operation == Operation.PART:
            return
        message = b"".join(self._parts).decode("utf-16-le", "replace").encode("utf-8", "replace")
        self._parts.clear()
        self._held = 0
        if operation == Operation.TELL:
            self._exchange.tell(message)
            return
        reply = self._exchange.ask(message).decode("utf-8", "replace").encode("utf-16-le", "replace")
        step = 2 * self._capacity
        self._reply = [reply[start : start + step] for start in range(0, len(reply), step)][::-1]
        self._fill(header)

    def _fill(self, header: Any) -> None:
        part = self._reply.pop() if self._reply else b""
        ctypes.memmove(self._address + _HEADER_BYTES, part, len(part))
        header[0] = 1 if self._reply else 0
        header[1] = len(part) // 2


def _text(handle: Any) -> str:
    raw = handle.contents
    return str(raw.value.bytes_val[0 : raw.len].decode("utf-8", "replace"))


def _nothing_left() -> None:
    """An isolate takes all with it."""
