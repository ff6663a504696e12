"""A context of V8 for each run, in one isolate that the runs of a namespace use one after the other.

A run is one task of the isolate's thread: JavaScript of the isolate's own context, which no script sees, calls back
into Python, and there the context of the run is made, entered, used and left. When the callback returns the context is
garbage. All functions that a script can reach are of its own context: an error made by one of another context would be
of that one, and a way from run to run.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any, TypeVar

from workflow_operator.javascript.worker.vm import rejections, thread_state, v8
from workflow_operator.javascript.worker.vm.bridge import EngineError, Exchange, Jobs, OutOfMemory
from workflow_operator.javascript.worker.vm.racer import dll as _dll

T = TypeVar("T")

_RESULT, _RUN = 0, 1
_STRING = 5  # of mini-racer's value types
# Elements of the prelude's mailbox, as prelude/exchange/mailbox.js has them.
_TEXT, _TELL, _ASK, _MEASURE, _REJECTION = 0, 1, 2, 3, 4
# Bounds what an isolate keeps for all its contexts, such as symbols of the registry.
MOST_RUNS = 1000

_live: list[_Living] = []
_realms: list[ContextRealm] = []


def _called(callback: int, handle: Any) -> None:
    if not thread_state.called(callback):
        _live[-1].called(callback, handle)


# Each once for the life of the process: making another needs executable memory, which a sandbox may not have.
_CALLBACK = _dll.MR_CALLBACK(_called)
_TELLS = v8.native(lambda: _realms[-1].tells())
_ASKS = v8.native(lambda: _realms[-1].asks())
_MEASURES = v8.native(lambda: _realms[-1].measures())


class RealmEngine:
    """Makes a context for each job, and a new isolate after MOST_RUNS of them or a full heap."""

    def __init__(self, source: str, exchange: Exchange, *, on_error: Callable[[BaseException], None]) -> None:
        self._source = source.encode()
        self._exchange = exchange
        self._on_error = on_error

    def serve(self, jobs: Jobs) -> None:
        more = True
        while more:
            isolate = _Living(self._source, self._exchange, jobs, self._on_error)
            try:
                finished = isolate.serve()
            finally:
                isolate.close()
            more = not finished and jobs.ended(_nothing_left)


class _Living:
    """An isolate, its thread and its own context. One lives at a time."""

    def __init__(
        self, source: bytes, exchange: Exchange, jobs: Jobs, on_error: Callable[[BaseException], None]
    ) -> None:
        self._dll = _dll.init_mini_racer(ignore_duplicate_init=True)
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._source = source
        self._exchange = exchange
        self._jobs = jobs
        self._on_error = on_error
        self._runs = 0
        self._more = False
        self._finished = False
        _live.append(self)
        self._context = self._dll.mr_init_context(_CALLBACK)
        thread_state.keep(self._context)
        self._no_arguments = self._evaluate("[]")
        self._once = self._evaluate("(function () { 'use strict'; this(); })")
        self._run = self._dll.mr_make_js_callback(self._context, _RUN)

    def serve(self) -> bool:
        """Run jobs as long as the isolate may be used. Whether there is to be no other job, anywhere."""
        self._post()
        self._results.get()
        return self._finished

    def close(self) -> None:
        """Free the isolate with everything in it."""
        thread_state.give_back(self._context)
        self._dll.mr_free_context(self._context)
        _live.remove(self)

    @property
    def exhausted(self) -> bool:
        """Whether the limit of the heap was reached: the engine has been told to stop for good."""
        return bool(self._dll.mr_hard_memory_limit_reached(self._context))

    def limit_heap(self, size: int) -> None:
        """0: no limit."""
        self._dll.mr_set_hard_memory_limit(self._context, size)

    def _evaluate(self, code: str) -> Any:
        data = code.encode()
        source = self._dll.mr_alloc_string_val(self._context, data, len(data), _STRING)
        self._dll.mr_eval(self._context, source, _RESULT)
        return self._results.get()

    def _post(self) -> None:
        self._more = True
        self._dll.mr_call_function(self._context, self._once, self._run, self._no_arguments, _RESULT)

    def called(self, callback: int, handle: Any) -> None:
        """What the library calls, on the isolate's thread: with a result, or for a run."""
        try:
            if callback == _RUN:
                self._dll.mr_free_value(self._context, handle)
                self._more = self._serve_one()
            elif not self._more:
                self._results.put(handle)
            else:
                # A task of its own for each run: handles end with it, and the engine does what it has put off.
                self._dll.mr_free_value(self._context, handle)
                self._post()
        except BaseException as error:
            # ctypes would print and swallow it.
            self._on_error(error)

    def _serve_one(self) -> bool:
        """Whether another run may follow in this isolate."""
        if self._runs and not self._jobs.ended(v8.collect):
            self._finished = True
            return False
        with v8.Context() as context:
            realm = ContextRealm(self, context, self._source, self._exchange, self._on_error)
            try:
                self._jobs.run(realm)
            finally:
                # Asked before the limit is taken off, which forgets that it was reached.
                exhausted = self.exhausted
                realm.close()
        self._runs += 1
        return self._runs < MOST_RUNS and not exhausted


class ContextRealm:
    """A realm on the isolate's thread, within the callback in which it was made."""

    def __init__(
        self,
        isolate: _Living,
        context: v8.Context,
        source: bytes,
        exchange: Exchange,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._isolate = isolate
        self._context = context
        self._exchange = exchange
        self._on_error = on_error
        _realms.append(self)
        self._control = context.evaluate(source)
        tells = context.function(_TELLS)
        self._mailbox = context.call(self._control, tells)
        self._undefined = self._item(_TEXT)
        context.set_item(self._mailbox, _TELL, tells)
        context.set_item(self._mailbox, _ASK, context.function(_ASKS))
        context.set_item(self._mailbox, _MEASURE, context.function(_MEASURES))
        rejections.listen(self._item(_REJECTION))
        rejections.watch()

    def close(self) -> None:
        """Nothing of the run can speak from here on."""
        rejections.listen(None)
        _realms.remove(self)
        # It was this run's: the next context is made without it.
        self._isolate.limit_heap(0)

    def limit_heap(self, size: int) -> None:
        # What earlier runs left counts as used until it is collected.
        self._isolate.limit_heap(size + self._context.used_heap())

    def run(self, script: str) -> v8.Local:
        return self._checked(lambda: self._context.evaluate(script.encode("utf-8", "replace")))

    def function(self, expression: str) -> v8.Local | None:
        result = self.run(expression)
        return result if self._context.is_function(result) else None

    def text(self, expression: str) -> str:
        result = self.run(expression)
        if not self._context.is_string(result):
            raise EngineError(f"expected a string from {expression[:80]}")
        return self._text(result)

    def control(self, this: str | v8.Local | None = None) -> str | None:
        if isinstance(this, str):
            this = self._context.string(this.encode("utf-8", "replace"))
        value = self._undefined if this is None else this
        result = self._checked(lambda: self._context.call(self._control, value))
        return self._text(result) if self._context.is_string(result) else None

    def tells(self) -> None:
        """The script's message leaves: what its function in the mailbox does."""
        self._exchanged(self._exchange.tell)

    def asks(self) -> None:
        """The script's question leaves, and its answer is put in its place."""
        self._answered(self._exchange.ask)

    def measures(self) -> None:
        """The size of the text, in bytes of UTF-8, is put in its place."""
        self._answered(lambda text: b"%d" % len(text))

    def _answered(self, action: Callable[[bytes], bytes]) -> None:
        reply = self._exchanged(action)
        if reply is not None:
            self._context.set_item(self._mailbox, _TEXT, self._context.string(reply))

    def _exchanged(self, action: Callable[[bytes], T]) -> T | None:
        try:
            text = self._context.item(self._mailbox, _TEXT)
            # The engine is about to stop: nothing is said any more.
            return action(self._context.text(text) or b"") if text else None
        except BaseException as error:
            # ctypes would print and swallow it, and the script would go on with a stale reply.
            self._on_error(error)
            return None

    def _checked(self, action: Callable[[], v8.Local]) -> v8.Local:
        try:
            result = action()
        except v8.Terminated:
            raise OutOfMemory from None
        except v8.Thrown as error:
            if self._isolate.exhausted:
                raise OutOfMemory from None
            raise EngineError(error.report) from None
        # A stopped microtask is reported nowhere else.
        if self._isolate.exhausted:
            raise OutOfMemory
        return result

    def _item(self, index: int) -> v8.Local:
        item = self._context.item(self._mailbox, index)
        if item is None:
            raise RuntimeError(f"the prelude gave no element {index} of its mailbox")
        return item

    def _text(self, value: v8.Local) -> str:
        return (self._context.text(value) or b"").decode("utf-8", "replace")


def _nothing_left() -> None:
    """The isolate took all with it."""
