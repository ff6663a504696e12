"""What Python keeps of an isolate's thread: made in its first callback, and given back in its last.

Otherwise ctypes makes it anew for each callback, for which Python takes 16 KiB from the kernel. A script may have taken
all memory that its process gets: then ctypes prints a MemoryError and swallows it, and who waits for the result of the
task waits for ever.
"""

from __future__ import annotations

import ctypes

from workflow_operator.javascript.worker.vm.racer import dll as _dll

_FIRST, _LAST = 1000, 1001  # numbers of callbacks that no engine has
_LOCKED = 0  # PyGILState_LOCKED: ctypes holds the GIL when it calls
_ensure, _release = ctypes.pythonapi.PyGILState_Ensure, ctypes.pythonapi.PyGILState_Release


def keep(context: int) -> None:
    """From here on, until :func:`give_back`."""
    _post(context, _FIRST)


def give_back(context: int) -> None:
    """Just before the isolate is freed, which waits for it."""
    _post(context, _LAST)


def called(callback: int) -> bool:
    """To be asked first by what the library calls: whether it was for this module."""
    if callback == _FIRST:
        _ensure()
    elif callback == _LAST:
        _release(_LOCKED)
    else:
        return False
    return True


def _post(context: int, callback: int) -> None:
    # A task without code: its result is an error, for which no JavaScript runs. So it comes also from an isolate that
    # was told to stop, and if the task is cancelled.
    _dll.init_mini_racer(ignore_duplicate_init=True).mr_eval(context, None, callback)
