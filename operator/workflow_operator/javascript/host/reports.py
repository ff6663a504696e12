"""From what a sandbox says to what a user reads. Pure; a sandbox is not trusted, so everything is checked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from workflow_operator.history import errors
from workflow_operator.javascript.host.messages import HostCall, Limits, LogLine, Returned
from workflow_operator.javascript.worker.wire import SCRIPT_NAME

CUT_MARK = " ... [line cut]"

_FRAME = re.compile(rf"^\s+at (?:.*\()?{re.escape(SCRIPT_NAME)}:(\d+):(\d+)\)?$", re.MULTILINE)
# A script that does not parse has no name yet, so any is taken.
_REPORT = re.compile(r"[^:\n]*:(?P<line>\d+): (?P<rest>.*)", re.DOTALL)
_NAME = re.compile(r"(?:Uncaught )?(?P<name>[A-Za-z_$][\w$]*): (?P<message>.*)", re.DOTALL)
_KINDS: dict[str, type[errors.ScriptError]] = {
    kind.__name__: kind
    for kind in (errors.MemoryLimit, errors.PayloadTooLarge, errors.Deadlock, errors.NotSerializable)
}


class Malformed(Exception):
    """The sandbox sent something that it never sends."""


@dataclass(frozen=True)
class Place:
    line: int | None = None
    column: int | None = None


def place_in_stack(stack: str) -> Place:
    """The innermost frame in the user's script."""
    match = _FRAME.search(stack)
    return Place(int(match[1]), int(match[2])) if match else Place()


def parse(body: bytes, limits: Limits) -> HostCall | LogLine | Returned:
    """One message of a sandbox. Raises the ScriptError of a ``failed`` message, and Malformed."""
    try:
        message = json.loads(body, parse_constant=_refuse)
    except RecursionError:
        raise errors.NotSerializable("a value is nested too deeply") from None
    except ValueError as error:
        raise Malformed(f"no JSON: {error}") from None
    match message:
        case {"kind": "call", "name": str(name), "stack": str(stack), "arguments": dict(arguments)}:
            return HostCall(name, arguments, place_in_stack(stack).line)
        case {"kind": "log", "level": ("info" | "debug" | "warn" | "error") as level, "text": str(text)}:
            return LogLine(level, cut(text, limits.log_line_bytes))
        case {"kind": "returned", "output": output}:
            return Returned(output)
        case {"kind": "failed"}:
            raise failure(message)
    raise Malformed(f"unknown message: {body[:200]!r}")


def failure(message: dict[str, Any]) -> errors.ScriptError:
    """The error that a ``failed`` message stands for. Raises Malformed."""
    match message:
        case {"report": str(report)}:
            return thrown_from_report(report)
        case {"error": str(kind), "name": str(name), "message": str(text), "stack": str(stack)}:
            place = place_in_stack(stack)
            if kind in _KINDS:
                return _KINDS[kind](text, line=place.line, column=place.column)
            return errors.Thrown(name, text, line=place.line, column=place.column)
    raise Malformed(f"unknown failure with the keys {sorted(message)}")


def thrown_from_report(report: str) -> errors.Thrown:
    """The error in V8's report of an uncaught exception: ``place: message``, source line, marker, stack."""
    match = _REPORT.match(report)
    if match is None:
        return errors.Thrown("Error", report.strip())
    head, column = _before_marker(match["rest"])
    named = _NAME.fullmatch(head)
    name, text = (named["name"], named["message"]) if named else ("Error", head)
    return errors.Thrown(name, text, line=int(match["line"]), column=column)


def _before_marker(rest: str) -> tuple[str, int | None]:
    """The message, and the column from the line of carets below the source line."""
    lines = rest.split("\n")
    for index in range(2, len(lines)):
        if lines[index].strip() and set(lines[index].strip()) == {"^"}:
            return "\n".join(lines[: index - 1]), lines[index].index("^") + 1
    return lines[0], None


def cut(text: str, limit: int) -> str:
    """At most ``limit`` bytes of UTF-8, with a mark where something is missing. Lone surrogates are replaced."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    return data[:limit].decode("utf-8", "ignore") + CUT_MARK


def death(code: int | None, stderr: str) -> errors.ScriptError:
    """Why a sandbox process ended by itself; ``code`` is its exit code, or minus the signal."""
    if code == -24:  # SIGXCPU
        return errors.CpuLimit("the script used more processor time than allowed")
    if _OUT_OF_MEMORY.search(stderr):
        return errors.MemoryLimit("the script used more memory than allowed")
    what = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    last = stderr.strip().splitlines()[-1:] or ["nothing on standard error"]
    return errors.EngineCrash(f"the sandbox process ended with {what}: {cut(last[0], 300)}")


_OUT_OF_MEMORY = re.compile(r"out of memory|OOM|Cannot allocate memory|MemoryError|bad_alloc", re.IGNORECASE)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
