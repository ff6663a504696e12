"""The part of V8's C++ interface that mini-racer's C functions leave out, under its mangled names.

libmini_racer.so exports them. A ``Local`` is the address of a handle, and valid until the native callback returns in
which it was made. Everything here is for the isolate's thread and keeps the GIL: other threads of a sandbox wait.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, TypeAlias

from workflow_operator.javascript.worker.vm.racer import dll as _dll

Local: TypeAlias = int

_pointer, _int = ctypes.c_void_p, ctypes.c_int
_NATIVE = ctypes.CFUNCTYPE(None, _pointer)
# The place of used_heap_size_ among the words of v8::HeapStatistics, and more words than it has.
_USED_HEAP_SIZE, _STATISTICS_WORDS = 4, 64
# More than v8::TryCatch has.
_TRY_CATCH_WORDS = 16
_CRITICAL_PRESSURE = 2


class _NoCallback(ctypes.Structure):
    """A pair of function and data, passed by value; here always empty."""

    _fields_ = (("function", _pointer), ("data", _pointer))


class _Text(ctypes.Structure):
    """v8::String::Utf8Value."""

    _fields_ = (("data", _pointer), ("length", ctypes.c_size_t))


_Symbol: TypeAlias = tuple[str, Any, tuple[Any, ...]]

# Without these no sandbox starts: unhandled rejections would be lost.
_ALWAYS: dict[str, _Symbol] = {
    "isolate": ("_ZN2v87Isolate10GetCurrentEv", _pointer, ()),
    "current": ("_ZN2v87Isolate17GetCurrentContextEv", _pointer, (_pointer,)),
    "global": ("_ZN2v87Context6GlobalEv", _pointer, (_pointer,)),
    "get": ("_ZN2v86Object3GetENS_5LocalINS_7ContextEEEj", _pointer, (_pointer, _pointer, ctypes.c_uint32)),
    "keep": (
        "_ZN2v812api_internal18GlobalizeReferenceEPNS_8internal7IsolateEm",
        _pointer,
        (_pointer, ctypes.c_size_t),
    ),
    "call": (
        "_ZN2v88Function4CallENS_5LocalINS_7ContextEEENS1_INS_5ValueEEEiPS5_",
        _pointer,
        (_pointer, _pointer, _pointer, _int, _pointer),
    ),
    "try": ("_ZN2v88TryCatchC1EPNS_7IsolateE", None, (_pointer, _pointer)),
    "end_try": ("_ZN2v88TryCatchD1Ev", None, (_pointer,)),
    "on_rejection": (
        "_ZN2v87Isolate24SetPromiseRejectCallbackEPFvNS_20PromiseRejectMessageEE",
        None,
        (_pointer, _pointer),
    ),
}
# Without one of these each run has an isolate of its own (isolates.py).
_FOR_REALMS: dict[str, _Symbol] = {
    "context": (
        "_ZN2v87Context3NewEPNS_7IsolateEPNS_22ExtensionConfigurationENS_10MaybeLocalINS_14ObjectTemplateEEENS5_INS_5Va"
        "lueEEENS_33DeserializeInternalFieldsCallbackEPNS_14MicrotaskQueueENS_30DeserializeContextDataCallbackENS_29Deser"
        "ializeAPIWrapperCallbackE",
        _pointer,
        (_pointer, _pointer, _pointer, _pointer, _NoCallback, _pointer, _NoCallback, _NoCallback),
    ),
    "enter": ("_ZN2v87Context5EnterEv", None, (_pointer,)),
    "leave": ("_ZN2v87Context4ExitEv", None, (_pointer,)),
    "disposed": ("_ZN2v87Isolate27ContextDisposedNotificationENS_17ContextDependantsE", None, (_pointer, _int)),
    "pressure": ("_ZN2v87Isolate26MemoryPressureNotificationENS_19MemoryPressureLevelE", None, (_pointer, _int)),
    "microtasks": ("_ZN2v87Isolate26PerformMicrotaskCheckpointEv", None, (_pointer,)),
    "statistics": ("_ZN2v814HeapStatisticsC1Ev", None, (_pointer,)),
    "measure": ("_ZN2v87Isolate17GetHeapStatisticsEPNS_14HeapStatisticsE", None, (_pointer, _pointer)),
    "string": (
        "_ZN2v86String11NewFromUtf8EPNS_7IsolateEPKcNS_13NewStringTypeEi",
        _pointer,
        (_pointer, ctypes.c_char_p, _int, _int),
    ),
    "text": ("_ZN2v86String9Utf8ValueC1EPNS_7IsolateENS_5LocalINS_5ValueEEE", None, (_pointer, _pointer, _pointer)),
    "free_text": ("_ZN2v86String9Utf8ValueD1Ev", None, (_pointer,)),
    "compile": (
        "_ZN2v86Script7CompileENS_5LocalINS_7ContextEEENS1_INS_6StringEEEPNS_12ScriptOriginE",
        _pointer,
        (_pointer, _pointer, _pointer),
    ),
    "run": ("_ZN2v86Script3RunENS_5LocalINS_7ContextEEE", _pointer, (_pointer, _pointer)),
    "function": (
        "_ZN2v88Function3NewENS_5LocalINS_7ContextEEEPFvRKNS_20FunctionCallbackInfoINS_5ValueEEEENS1_INS_4DataEEEiNS_19C"
        "onstructorBehaviorENS_14SideEffectTypeE",
        _pointer,
        (_pointer, _NATIVE, _pointer, _int, _int, _int),
    ),
    "set": (
        "_ZN2v86Object3SetENS_5LocalINS_7ContextEEEjNS1_INS_5ValueEEE",
        ctypes.c_uint16,
        (_pointer, _pointer, ctypes.c_uint32, _pointer),
    ),
    "is_function": ("_ZNK2v85Value10IsFunctionEv", ctypes.c_bool, (_pointer,)),
    "is_string": ("_ZNK2v85Value12FullIsStringEv", ctypes.c_bool, (_pointer,)),
    "exception": ("_ZNK2v88TryCatch9ExceptionEv", _pointer, (_pointer,)),
    "terminated": ("_ZNK2v88TryCatch13HasTerminatedEv", ctypes.c_bool, (_pointer,)),
    "message": ("_ZNK2v88TryCatch7MessageEv", _pointer, (_pointer,)),
    "stack": (
        "_ZN2v88TryCatch10StackTraceENS_5LocalINS_7ContextEEENS1_INS_5ValueEEE",
        _pointer,
        (_pointer, _pointer),
    ),
    "file": ("_ZNK2v87Message21GetScriptResourceNameEv", _pointer, (_pointer,)),
    "line": ("_ZNK2v87Message13GetLineNumberENS_5LocalINS_7ContextEEE", ctypes.c_uint64, (_pointer, _pointer)),
    "source_line": ("_ZNK2v87Message13GetSourceLineENS_5LocalINS_7ContextEEE", _pointer, (_pointer, _pointer)),
    "start": ("_ZNK2v87Message14GetStartColumnEv", _int, (_pointer,)),
    "end": ("_ZNK2v87Message12GetEndColumnEv", _int, (_pointer,)),
}
_v8: dict[str, Callable[..., Any]] = {}


def load() -> list[str]:
    """Look the symbols up: once per process, after mini-racer's own start. Gives those for realms that are missing.

    Raises AttributeError where one is missing that is always needed.
    """
    library = ctypes.PyDLL(_dll.init_mini_racer(ignore_duplicate_init=True)._name)
    missing = [symbol for symbol, _, _ in _FOR_REALMS.values() if not _exports(library, symbol)]
    for name, (symbol, result, arguments) in (_ALWAYS | ({} if missing else _FOR_REALMS)).items():
        function = library[symbol]
        function.restype, function.argtypes = result, arguments
        _v8[name] = function
    return missing


def _exports(library: ctypes.PyDLL, symbol: str) -> bool:
    try:
        library[symbol]
    except AttributeError:
        return False
    return True


def native(action: Callable[[], None]) -> Any:
    """What a native function of JavaScript does. Made before the process is confined: it needs executable memory."""
    return _NATIVE(lambda info: action())


class Thrown(Exception):
    """An exception reached the outermost call. ``report`` is its text as mini-racer writes it."""

    def __init__(self, report: str) -> None:
        super().__init__(report)
        self.report = report


class Terminated(Exception):
    """The engine was told to stop."""


class TryCatch:
    """v8::TryCatch. It takes the stack's position when it is made, so that it may lie on the heap."""

    def __init__(self) -> None:
        self._memory = (ctypes.c_uint64 * _TRY_CATCH_WORDS)()
        self.address = ctypes.addressof(self._memory)

    def __enter__(self) -> TryCatch:
        _v8["try"](self.address, _v8["isolate"]())
        return self

    def __exit__(self, *error: object) -> None:
        _v8["end_try"](self.address)


def watch_rejections(callback: Any) -> None:
    """Have V8 call ``callback`` with a v8::PromiseRejectMessage."""
    _v8["on_rejection"](_v8["isolate"](), ctypes.cast(callback, _pointer))


def kept_global_item(index: int) -> Local:
    """An indexed property of the current global object, in a handle that lives as long as the isolate."""
    isolate = _v8["isolate"]()
    context = _v8["current"](isolate)
    item = _v8["get"](_v8["global"](context), context, index)
    return int(_v8["keep"](isolate, ctypes.c_size_t.from_address(item).value))


def call_and_forget(function: Local, *arguments: Local) -> None:
    """Call with the current global object as ``this``; what it throws is dropped.

    Otherwise it would be thrown where nobody expects it, as at the end of the stack.
    """
    context = _v8["current"](_v8["isolate"]())
    vector = (_pointer * len(arguments))(*arguments)
    with TryCatch():
        _v8["call"](function, context, _v8["global"](context), len(arguments), vector)


class Context:
    """Global object and built-ins of one run. Entered as a context manager, within one native callback."""

    def __init__(self) -> None:
        self._isolate = _v8["isolate"]()
        none = _NoCallback()
        self._context = _v8["context"](self._isolate, None, None, None, none, None, none, none)

    def __enter__(self) -> Context:
        _v8["enter"](self._context)
        return self

    def __exit__(self, *error: object) -> None:
        _v8["leave"](self._context)
        _v8["disposed"](self._isolate, 1)  # The next collection comes sooner.

    def evaluate(self, source: bytes) -> Local:
        """The value of a script in the global scope, and then all microtasks. Raises Thrown, Terminated."""

        def evaluated() -> Local | None:
            script = _v8["compile"](self._context, self.string(source), None)
            return None if script is None else _v8["run"](script, self._context)

        return self._guarded(evaluated)

    def call(self, function: Local, this: Local) -> Local:
        """Call without arguments, and then all microtasks. Raises Thrown, Terminated."""
        return self._guarded(lambda: _v8["call"](function, self._context, this, 0, None))

    def string(self, text: bytes) -> Local:
        """Of UTF-8."""
        return int(_v8["string"](self._isolate, text, 0, len(text)))

    def text(self, value: Local) -> bytes | None:
        """What String() gives, in UTF-8 with lone surrogates replaced; None if that throws."""
        text = _Text()
        address = ctypes.addressof(text)
        _v8["text"](address, self._isolate, value)
        data = ctypes.string_at(text.data, text.length) if text.data else None
        _v8["free_text"](address)
        return data

    def function(self, action: Any) -> Local:
        """A function that does what :func:`native` made."""
        return int(_v8["function"](self._context, action, None, 0, 0, 0))

    def item(self, array: Local, index: int) -> Local | None:
        """None where the engine was told to stop."""
        found: Local | None = _v8["get"](array, self._context, index)
        return found

    def set_item(self, array: Local, index: int, value: Local) -> None:
        _v8["set"](array, self._context, index, value)

    def is_function(self, value: Local) -> bool:
        return bool(_v8["is_function"](value))

    def is_string(self, value: Local) -> bool:
        return bool(_v8["is_string"](value))

    def used_heap(self) -> int:
        """Bytes in the isolate's heap, with what earlier contexts left in it until the next collection."""
        words = (ctypes.c_size_t * _STATISTICS_WORDS)()
        _v8["statistics"](words)
        _v8["measure"](self._isolate, words)
        return int(words[_USED_HEAP_SIZE])

    def _guarded(self, action: Callable[[], Local | None]) -> Local:
        try:
            with TryCatch() as caught:
                value = action()
                if value is not None:
                    return value
                exception = _v8["exception"](caught.address)
                if _v8["terminated"](caught.address) or exception is None:
                    raise Terminated
                raise Thrown(self._report(exception, _v8["message"](caught.address)))
        finally:
            # As where each of these is a task: a report asks a thrown object for its text before the microtasks run.
            _v8["microtasks"](self._isolate)

    def _report(self, exception: Local, message: Local | None) -> str:
        head = self._text(exception, "<string conversion failed>")
        if not message:
            return f"{head}\n"
        file = _v8["file"](message)
        name = self._text(file, "") if self.is_string(file) else "<anonymous>"
        # A v8::Maybe<int>: whether there is one, then the number in the upper half.
        line = _v8["line"](message, self._context) >> 32
        parts = [f"{name}:{line}: {head}\n"]
        source = _v8["source_line"](message, self._context)
        if source:
            start, end = _v8["start"](message), _v8["end"](message)
            parts.append(f"{self._text(source, '')}\n{' ' * start}{'^' * max(end - start, 1)}\n")
        stack = _v8["stack"](self._context, exception)
        if stack and self.is_string(stack):
            parts.append(f"\n{self._text(stack, '')}\n")
        return "".join(parts)

    def _text(self, value: Local, otherwise: str) -> str:
        text = self.text(value)
        # As mini-racer does, which takes it for a string of C.
        return otherwise if text is None else text.split(b"\0", 1)[0].decode("utf-8", "replace")


def collect() -> None:
    """Free what earlier contexts left in the current isolate, and give its memory back."""
    _v8["pressure"](_v8["isolate"](), _CRITICAL_PRESSURE)
