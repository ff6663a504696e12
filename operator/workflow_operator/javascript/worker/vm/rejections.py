"""Tells the prelude of promises that are rejected while nobody awaits them, and of those that somebody awaits later.

JavaScript cannot see that: the promise of an async function is made without its constructor and awaited without its
``then``. V8 tells the program that embeds it. All of it runs on the isolate's thread.
"""

from __future__ import annotations

import ctypes
from typing import Any

from workflow_operator.javascript.worker.vm import v8

# v8::PromiseRejectEvent; the two others are about promises that are settled twice.
_REJECTED_WITHOUT_HANDLER, _HANDLER_ADDED = 0, 1


class _Message(ctypes.Structure):
    """v8::PromiseRejectMessage: three words, passed by value."""

    _fields_ = (("promise", ctypes.c_void_p), ("event", ctypes.c_int), ("value", ctypes.c_void_p))


_listener: v8.Local | None = None


def watch() -> None:
    """From now on the isolate's thread tells the listener."""
    v8.watch_rejections(_CALLBACK)


def listen(listener: v8.Local | None) -> None:
    """The function of the run to be told: ``(promise, reason)``, or ``(promise)`` when handled; None between runs."""
    global _listener
    _listener = listener


def _told(message: Any) -> None:
    if _listener is None:
        return
    if message.event == _REJECTED_WITHOUT_HANDLER:
        v8.call_and_forget(_listener, message.promise, message.value)
    elif message.event == _HANDLER_ADDED:
        v8.call_and_forget(_listener, message.promise)


# One for the life of the process: making another needs executable memory, which a sandbox may not have.
_CALLBACK = ctypes.CFUNCTYPE(None, _Message)(_told)
