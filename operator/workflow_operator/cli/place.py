"""Shows the place of an error in the source of a script. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SHOWN_CHARACTERS: Final = 100
_INDENTATION: Final = "    "
_LINE_END: Final = re.compile("\r\n|[\n\r\u2028\u2029]")


def pointed(source: str, line: int, column: int | None) -> str:
    """The line of the source, and a mark under the column; of a long line, what is around the column.

    Args:
        line: from 1, as all lines here.
        column: from 1, in UTF-16 units, as V8 counts; None leaves the mark out.
    """
    lines = _LINE_END.split(source)
    if not 1 <= line <= len(lines):
        return ""
    units = lines[line - 1].encode("utf-16-le", "surrogatepass")
    before = units[: 2 * (column - 1)] if column is not None else b""
    left = before.decode("utf-16-le", "replace")
    right = units[len(before) :].decode("utf-16-le", "replace")
    if len(left) > _SHOWN_CHARACTERS // 2 and len(left) + len(right) > _SHOWN_CHARACTERS:
        left = "…" + left[-_SHOWN_CHARACTERS // 2 :]
    right = right if len(right) <= _SHOWN_CHARACTERS - len(left) else right[: _SHOWN_CHARACTERS - len(left)] + "…"
    shown = f"{_INDENTATION}{left}{right}".rstrip()
    return shown if column is None else f"{shown}\n{_INDENTATION}{_blank(left)}^"


def _blank(text: str) -> str:
    """As wide as the text on a terminal."""
    return "".join(
        "\t" if each == "\t" else "  " if unicodedata.east_asian_width(each) in "WF" else " " for each in text
    )
