"""V8's report of what a script threw: ``file:line: message``, the source line, carets under the place, the stack."""

from __future__ import annotations

import re
from typing import NamedTuple

from workflow_operator.javascript.worker.wire import PRELUDE_NAME, SCRIPT_NAME

_HEAD = re.compile(r"(?P<file>[^:\n]{0,256}):(?P<line>[0-9]{1,9}): ")
_NAME = re.compile(r"(?:Uncaught )?(?P<name>[A-Za-z_$][\w$]{0,255}): (?P<message>.*)", re.DOTALL)
# A stack, which a script can write, stands behind the carets: it may hold the source line as well.
_LOOKS = 16
_LINE_END = re.compile(r"\r\n|[\n\r\u2028\u2029]")


class Reported(NamedTuple):
    """What was thrown, and where in the script; ``parsed`` is false for a script that never ran."""

    name: str
    message: str
    line: int | None
    column: int | None
    parsed: bool


def read(report: str, script: str) -> Reported:
    """Linear in the report and the script."""
    match = _HEAD.match(report)
    if match is None:
        return Reported("Error", report.strip(), None, None, True)
    line = int(match["line"])
    lines = _LINE_END.split(script)
    rest = report[match.end() :]
    message, column = rest.split("\n", 1)[0], None
    if 1 <= line <= len(lines):
        found = _marked(rest, f"\n{lines[line - 1]}\n")
        if found is not None:
            message, column = found
    else:
        line = len(lines)
    named = _NAME.fullmatch(message)
    name, message = (named["name"], named["message"]) if named else ("Error", message)
    ours = match["file"] == PRELUDE_NAME
    return Reported(name, message, None if ours else line, None if ours else column, match["file"] == SCRIPT_NAME)


def _marked(rest: str, source: str) -> tuple[str, int] | None:
    """Message and column. A message may look like the source line and the carets too: the last ones are V8's."""
    end = len(rest)
    for _ in range(_LOOKS):
        position = rest.rfind(source, 0, end)
        if position < 0:
            break
        begin = position + len(source)
        stop = rest.find("\n", begin)
        carets = rest[begin : len(rest) if stop < 0 else stop]
        mark = carets.lstrip(" ")
        if mark and not mark.strip("^"):
            return rest[:position], len(carets) - len(mark) + 1
        end = position + 1
    return None
