"""From what a sandbox says to what a user reads. Pure; a sandbox is not trusted, so everything is checked."""

from __future__ import annotations

import json
import math
import re
import signal
from typing import Any, NamedTuple, NoReturn

from workflow_operator.history import errors
from workflow_operator.history.values import MAX_NESTING, nesting
from workflow_operator.javascript.host.messages import Exit, HostCall, Job, LogLine, Returned
from workflow_operator.javascript.worker.wire import PRELUDE_NAME, SCRIPT_NAME

CUT_MARK = " ... [line cut]"

# {"arguments": {"payload": value}}
_ENVELOPE_LEVELS = 2

# A script can write any stack: a number of thousands of digits is no int for Python.
_FRAME = re.compile(rf"^\s+at (?:.*\()?{re.escape(SCRIPT_NAME)}:([0-9]{{1,9}}):([0-9]{{1,9}})\)?$", re.MULTILINE)
# A script that does not parse has no name yet, so any is taken.
_REPORT = re.compile(r"(?P<file>[^:\n]*):(?P<line>[0-9]{1,9}): (?P<rest>.*)", re.DOTALL)
_NAME = re.compile(r"(?:Uncaught )?(?P<name>[A-Za-z_$][\w$]*): (?P<message>.*)", re.DOTALL)
_LINE_END = re.compile(r"\r\n|[\n\r\u2028\u2029]")
_LINES_ADDED = 2  # by the sandbox, behind the script
_KINDS: dict[str, type[errors.ScriptError]] = {
    kind.__name__: kind
    for kind in (errors.MemoryLimit, errors.PayloadTooLarge, errors.Deadlock, errors.NotSerializable)
}


_CRASHES = (-signal.SIGTRAP, -signal.SIGILL, -signal.SIGABRT, -signal.SIGSEGV)
_OUT_OF_MEMORY = re.compile(r"out of memory|Cannot allocate memory|MemoryError|bad_alloc")


_SURROGATE = re.compile(rb"(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}")


class Malformed(Exception):
    """The sandbox sent something that it never sends."""


class Place(NamedTuple):
    line: int
    column: int | None


def place_in_stack(stack: str) -> Place | None:
    """The innermost frame in the user's script."""
    match = _FRAME.search(stack)
    return Place(int(match[1]), int(match[2])) if match else None


def parse(body: bytes, job: Job) -> HostCall | LogLine | Returned | errors.ScriptError:
    """One message of a sandbox; a ScriptError if it says that the run failed.

    Raises NotSerializable where the value in it is nested too deeply, and Malformed.
    """
    # Looked at first: what the parser takes depends on the recursion limit of the process.
    most = MAX_NESTING + _ENVELOPE_LEVELS
    if nesting(body, most) > most:
        raise errors.NotSerializable(
            f"a value is nested too deeply: expected at most {MAX_NESTING} levels of arrays and objects"
        )
    try:
        message = json.loads(_well_formed(body), parse_constant=_refuse, parse_float=_finite)
    except ValueError as error:
        raise Malformed(f"no JSON: {error}") from None
    match message:
        case {"kind": "call", "name": str(name), "stack": str(stack), "arguments": dict(arguments)}:
            line, _ = within(place_in_stack(stack), job.script)
            return HostCall(name, arguments, line)
        case {"kind": "log", "level": ("info" | "debug" | "warn" | "error") as level, "text": str(text)}:
            return LogLine(level, cut(text, job.limits.log_line_bytes))
        case {"kind": "returned", "output": output}:
            return Returned(output)
        case {"kind": "failed"}:
            return failure(message, job.script)
    raise Malformed(f"unknown message: {body[:200]!r}")


def failure(message: dict[str, Any], script: str) -> errors.ScriptError:
    """The error that a ``failed`` message stands for. Raises Malformed."""
    match message:
        case {"error": str(kind), "name": str(name), "message": str(text), "stack": str(stack), "report": str(report)}:
            reported_name, reported_text, reported_place = from_report(report, script)
            if not name:
                name, text = reported_name, reported_text
            place = place_in_stack(stack) or place_in_stack(report) or reported_place
            line, column = within(place, script)
            if kind in _KINDS:
                return _KINDS[kind](text, line=line, column=column)
            return errors.Thrown(name, text, line=line, column=column)
    raise Malformed(f"unknown failure with the keys {sorted(message)}")


def within(place: Place | None, script: str) -> tuple[int | None, int | None]:
    """Line and column in the script; nothing for a place that it does not have, which only a forged stack names.

    Where the script ends too early, V8 names a line behind it: that is its last one.
    """
    lines = _LINE_END.split(script)
    if place is None or not 1 <= place.line <= len(lines) + _LINES_ADDED:
        return None, None
    if place.line > len(lines):
        return len(lines), None
    if place.column is not None and not 1 <= place.column <= _utf16_length(lines[place.line - 1]) + 1:
        return None, None
    return place


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def from_report(report: str, script: str) -> tuple[str, str, Place | None]:
    """Name, message and place in V8's report of an uncaught exception.

    Its form is ``file:line: message``, the source line, a line of carets under the place, and the stack.
    """
    match = _REPORT.match(report)
    if match is None:
        return "Error", report.strip(), None
    line = int(match["line"])
    head, column = _before_marker(match["rest"], _LINE_END.split(script)[line - 1 : line])
    named = _NAME.fullmatch(head)
    name, text = (named["name"], named["message"]) if named else ("Error", head)
    place = None if match["file"] == PRELUDE_NAME else Place(line, column)
    return name, text, place


def _before_marker(rest: str, source: list[str]) -> tuple[str, int | None]:
    """The message, and the column from the line of carets below the source line. A message may look like both."""
    lines = rest.split("\n")
    for index in range(2, len(lines)):
        carets = lines[index].strip()
        if carets and set(carets) == {"^"} and [lines[index - 1].rstrip()] == [line.rstrip() for line in source]:
            return "\n".join(lines[: index - 1]), lines[index].index("^") + 1
    return lines[0], None


def cut(text: str, limit: int) -> str:
    """At most ``limit`` bytes of UTF-8, with a mark where something is missing. Lone surrogates are replaced."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    return data[:limit].decode("utf-8", "ignore") + CUT_MARK


def death(end: Exit, stderr: str, memory_bytes: int) -> errors.ScriptError:
    """Why a sandbox process ended by itself."""
    if end.code == -signal.SIGXCPU:
        return errors.CpuLimit("the script used more processor time than allowed")
    # V8 traps without a word where it cannot get memory for its own bookkeeping.
    silent = end.code in _CRASHES and end.peak_bytes >= memory_bytes
    if silent or _OUT_OF_MEMORY.search(stderr):
        return errors.MemoryLimit(f"the script used more memory than the allowed {memory_bytes} bytes")
    what = f"exit code {end.code}" if end.code is None or end.code >= 0 else signal.Signals(-end.code).name
    last = stderr.strip().splitlines()[-1:] or ["nothing on its standard error"]
    return errors.EngineCrash(f"the sandbox process ended with {what}: {cut(last[0], 300)}")


def _well_formed(body: bytes) -> bytes:
    """Lone surrogates become U+FFFD, as in V8's toWellFormed: they cannot be stored or sent on as UTF-8.

    JSON.stringify escapes a surrogate only if it is alone.
    """
    return _SURROGATE.sub(rb"\1\\ufffd", body) if b"\\ud" in body else body


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
