"""How much scripts may print. Pure: what is to be printed goes in, what is printed comes out."""

from __future__ import annotations

from dataclasses import dataclass

from workflow_operator.javascript.host.messages import LogLine

_MINUTE = 60.0


def size(line: LogLine) -> int:
    """Bytes of a line in UTF-8, with its end."""
    return len(line.text.encode("utf-8", "replace")) + 1


class ExecutionLines:
    """Lines of one execution: after ``most_bytes`` of them one line says that further ones are dropped.

    That is so until :meth:`renew`: a run may be as long as it likes, and prints as much in each of its parts.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0

    def renew(self) -> None:
        """The run has recorded an event."""
        self._bytes = 0

    def take(self, line: LogLine) -> LogLine | None:
        """What to print instead of the line, if anything."""
        if self._bytes > self._most:
            return None
        self._bytes += size(line)
        if self._bytes > self._most:
            return LogLine("warn", f"more than {self._most} bytes of log lines: dropped until the next call")
        return line


@dataclass
class _Minute:
    begun: float
    bytes: int = 0
    dropped_lines: int = 0
    dropped_bytes: int = 0


class NamespaceLines:
    """Lines of all runs of a namespace that one replica executes: at most ``most_bytes`` a minute.

    ``setting`` is what an administrator sets the limit with.
    """

    def __init__(self, most_bytes: int, setting: str) -> None:
        self._most = most_bytes
        self._setting = setting
        self._minutes: dict[str, _Minute] = {}

    def take(self, namespace: str, line: LogLine, now: float) -> list[LogLine]:
        """What to print instead of the line. ``now`` is in seconds, of a clock that does not go back."""
        minute = self._minutes.get(namespace)
        printed: list[LogLine] = []
        if minute is None or now - minute.begun >= _MINUTE:
            if minute is not None and minute.dropped_lines:
                printed.append(self._told(namespace, minute))
            self._forget(now)
            minute = self._minutes[namespace] = _Minute(now)
        if minute.bytes + size(line) <= self._most:
            minute.bytes += size(line)
            return [*printed, line]
        if not minute.dropped_lines:
            printed.append(self._dropping(namespace))
        # Full from now on: a short line behind a long one would look as if nothing was missing.
        minute.bytes = self._most
        minute.dropped_lines += 1
        minute.dropped_bytes += size(line)
        return printed

    def _forget(self, now: float) -> None:
        """Namespaces that print nothing now; what was dropped of them is told when they print again."""
        for namespace in [
            name for name, each in self._minutes.items() if now - each.begun >= _MINUTE and not each.dropped_lines
        ]:
            del self._minutes[namespace]

    def _dropping(self, namespace: str) -> LogLine:
        return LogLine(
            "warn",
            f"the runs of namespace {namespace} have printed {self._most} bytes within a minute ({self._setting}): "
            "further lines of this minute are dropped",
        )

    def _told(self, namespace: str, minute: _Minute) -> LogLine:
        return LogLine(
            "warn",
            f"{minute.dropped_lines} lines ({minute.dropped_bytes} bytes) of runs of namespace {namespace} "
            f"were dropped ({self._setting})",
        )
