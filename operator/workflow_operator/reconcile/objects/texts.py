"""The JSON of small objects that have just appeared, until their runs start: so that a start need not read them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

MAX_TEXT_BYTES: Final = 64 * 1024
"""Of one object. A larger one is read when its run starts."""
MAX_BYTES: Final = 16 * 1024 * 1024
"""Of all of them: the oldest go first, and are read when their runs start."""

_OVERHEAD_BYTES = 256


class Texts:
    """Bounded in bytes. The watch puts in, in a thread of its own; everything else is called in the event loop.

    Args:
        max_bytes: of all texts, what it costs to keep each of them included.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        # The first of a dict is found behind all that were dropped before it.
        self._texts: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def put(self, uid: str, text: memoryview) -> None:
        """Keep the JSON of the object with this uid, unless it is large. It is copied if it is kept."""
        if len(text) > MAX_TEXT_BYTES:
            return
        with self._lock:
            self._drop(uid)
            self._texts[uid] = bytes(text)
            self._bytes += len(text) + _OVERHEAD_BYTES
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._texts)))

    def take(self, uid: str) -> bytes | None:
        """The JSON of the object, which is not kept any longer; None if it is not."""
        with self._lock:
            return self._drop(uid)

    def _drop(self, uid: str) -> bytes | None:
        text = self._texts.pop(uid, None)
        if text is not None:
            self._bytes -= len(text) + _OVERHEAD_BYTES
        return text
