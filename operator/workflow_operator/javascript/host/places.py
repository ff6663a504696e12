"""Places in the user's script. Pure."""

from __future__ import annotations

import re
from functools import cached_property
from typing import NamedTuple

_LINE_END = re.compile(r"\r\n|[\n\r\u2028\u2029]")
_LINES_ADDED = 2  # by the sandbox, behind the script


class Place(NamedTuple):
    """Counted from 1, the column in UTF-16 units."""

    line: int
    column: int | None


class Source:
    """A script, cut into its lines once: each message of its run may name a place in it."""

    def __init__(self, script: str) -> None:
        self._script = script
        self._widths: dict[int, int] = {}
        self._found: Place | None = None

    @cached_property
    def _lines(self) -> list[str]:
        return _LINE_END.split(self._script)

    def within(self, place: Place | None) -> tuple[int | None, int | None]:
        """Line and column in the script; nothing for a place that it does not have, which only a forged one names.

        Where the script ends too early, V8 names a line behind it: that is its last one.
        """
        if place is not None and place == self._found:
            # A loop makes its calls in one place.
            return place
        if place is None or not 1 <= place.line <= len(self._lines) + _LINES_ADDED:
            return None, None
        if place.line > len(self._lines):
            return len(self._lines), None
        if place.column is not None and not 1 <= place.column <= self._width(place.line) + 1:
            return None, None
        self._found = place
        return place

    def _width(self, number: int) -> int:
        width = self._widths.get(number)
        if width is None:
            text = self._lines[number - 1]
            width = len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
            self._widths[number] = width
        return width
