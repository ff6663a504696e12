"""Tells the prelude of promises that are rejected while nobody awaits them, and of those that somebody awaits later.

JavaScript cannot see that: the promise of an async function is made without its constructor and awaited without its
``then``. V8 tells the program that embeds it, by Isolate::SetPromiseRejectCallback, which mini-racer's C functions
leave out; libmini_racer.so exports it under its mangled name. All of it runs on the isolate's thread and holds the GIL.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from workflow_operator.javascript.worker.racer import dll as _dll

_pointer, _int = ctypes.c_void_p, ctypes.c_int

# v8::PromiseRejectEvent; the two others are about promises that are settled twice.
_REJECTED_WITHOUT_HANDLER, _HANDLER_ADDED = 0, 1


class _Message(ctypes.Structure):
    """v8::PromiseRejectMessage: three words, passed by value. A ``Local`` is the address of a handle."""

    _fields_ = (("promise", _pointer), ("event", _int), ("value", _pointer))


_SYMBOLS: dict[str, tuple[str, Any, tuple[Any, ...]]] = {
    "isolate": ("_ZN2v87Isolate10GetCurrentEv", _pointer, ()),
    "context": ("_ZN2v87Isolate17GetCurrentContextEv", _pointer, (_pointer,)),
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
    "tell_me": ("_ZN2v87Isolate24SetPromiseRejectCallbackEPFvNS_20PromiseRejectMessageEE", None, (_pointer, _pointer)),
}
_v8: dict[str, Callable[..., Any]] = {}
_listener: int | None = None


def watch() -> None:
    """Tell the function that is property 0 of the global object: ``(promise, reason)``, or ``(promise)`` when handled.

    Called while JavaScript of a new isolate waits. Raises AttributeError where mini-racer's library lacks a symbol.
    """
    global _listener
    if not _v8:
        _load()
    isolate = _v8["isolate"]()
    context = _v8["context"](isolate)
    function = _v8["get"](_v8["global"](context), context, 0)
    # A handle of its own, which lives as long as the isolate: the one here ends with this call.
    _listener = _v8["keep"](isolate, ctypes.c_size_t.from_address(function).value)
    _v8["tell_me"](isolate, ctypes.cast(_CALLBACK, _pointer))


def _load() -> None:
    library = ctypes.PyDLL(_dll.init_mini_racer(ignore_duplicate_init=True)._name)
    for name, (symbol, result, arguments) in _SYMBOLS.items():
        function = library[symbol]
        function.restype, function.argtypes = result, arguments
        _v8[name] = function


def _told(message: Any) -> None:
    if message.event == _REJECTED_WITHOUT_HANDLER:
        arguments = (_pointer * 2)(message.promise, message.value)
    elif message.event == _HANDLER_ADDED:
        arguments = (_pointer * 1)(message.promise)
    else:
        return
    isolate = _v8["isolate"]()
    context = _v8["context"](isolate)
    # v8::TryCatch takes the stack's position when it is made, so that it may lie on the heap. Without it, what the
    # function throws at the end of the stack would be thrown where nobody expects it.
    scope = ctypes.addressof(memory := (ctypes.c_uint64 * 16)())
    _v8["try"](scope, isolate)
    try:
        _v8["call"](_listener, context, _v8["global"](context), len(arguments), arguments)
    finally:
        _v8["end_try"](scope)
        del memory


# One for the life of the process: making another needs executable memory, which a sandbox may not have.
_CALLBACK = ctypes.CFUNCTYPE(None, _Message)(_told)
