"""The statuses that a projector wrote last, so that it need not read them again."""

from __future__ import annotations

import sys
from collections import OrderedDict

from workflow_operator.history import InstanceKey, InstanceStatus

_MAX_BYTES = 32 * 1024 * 1024
_LARGEST_PART = 64
_FIXED_BYTES = 2048


class StatusCache:
    """Holds statuses up to a number of bytes; the ones that were put first go first.

    Args:
        max_bytes: of all together, as they lie in memory. One that would take a 64th of that is not held at all.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max = max_bytes
        # The first of a dict is found behind all that were dropped before it.
        self._held: OrderedDict[InstanceKey, tuple[int, InstanceStatus]] = OrderedDict()
        self.bytes = 0

    def get(self, key: InstanceKey) -> InstanceStatus | None:
        entry = self._held.get(key)
        return None if entry is None else entry[1]

    def put(self, status: InstanceStatus) -> None:
        """Hold it in place of what is held of its instance."""
        self.drop(status.key)
        size = weight(status)
        if size * _LARGEST_PART > self._max:
            return
        self._held[status.key] = size, status
        self.bytes += size
        while self.bytes > self._max:
            self.drop(next(iter(self._held)))

    def drop(self, key: InstanceKey) -> None:
        self.bytes -= self._held.pop(key, (0, None))[0]

    def clear(self) -> None:
        self._held.clear()
        self.bytes = 0


def weight(status: InstanceStatus) -> int:
    """About how many bytes of memory a status takes."""
    values = sum(len(value) for value in (status.input, status.memory, status.output) if value is not None)
    texts = sum(map(sys.getsizeof, [status.script, *status.metadata, *status.metadata.values()]))
    error = 0 if status.error is None else sys.getsizeof(status.error.message)
    return _FIXED_BYTES + values + texts + error
