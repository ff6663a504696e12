"""From the engine's reports and the ends of processes to what a user reads. Pure, and linear in what it is given."""

from __future__ import annotations

import re
import signal

from workflow_operator.history import errors
from workflow_operator.javascript.host.messages import Exit, Limits
from workflow_operator.javascript.host.places import Place, Source
from workflow_operator.javascript.worker.wire import PRELUDE_NAME, SCRIPT_NAME

CUT_MARK = " ... [line cut]"

# Of the message in a report; the source line and the mark come behind it.
_SEARCHED_CHARACTERS = 8192

# A script can write any stack: a number of thousands of digits is no int for Python.
_FRAME = re.compile(rf"^ {{4}}at (?:[^\n]*\()?{re.escape(SCRIPT_NAME)}:([0-9]{{1,9}}):([0-9]{{1,9}})\)?$", re.MULTILINE)
# A script that does not parse has no name yet, so any is taken.
_REPORT = re.compile(r"\A(?P<file>[^:\n]{0,256}):(?P<line>[0-9]{1,9}): (?P<rest>.*)", re.DOTALL)
_NAME = re.compile(r"\A(?:Uncaught )?(?P<name>[A-Za-z_$][\w$]{0,255}): (?P<message>.*)", re.DOTALL)
_KINDS: dict[str, type[errors.ScriptError]] = {
    kind.__name__: kind
    for kind in (errors.MemoryLimit, errors.PayloadTooLarge, errors.Deadlock, errors.NotSerializable)
}

_CRASHES = (-signal.SIGTRAP, -signal.SIGILL, -signal.SIGABRT, -signal.SIGSEGV)
_OUT_OF_MEMORY = re.compile(r"out of memory|Cannot allocate memory|MemoryError|bad_alloc")


def setting(name: str) -> str:
    """The environment variable that sets a limit."""
    return f"WORKFLOW_OPERATOR_{name}"


def place_in_stack(stack: str) -> Place | None:
    """The innermost frame in the user's script."""
    match = _FRAME.search(stack)
    return Place(int(match[1]), int(match[2])) if match else None


def failure(
    kind: str,
    name: str,
    text: str,
    place: tuple[int | None, int | None],
    context: tuple[str, str],
    limits: Limits,
) -> errors.ScriptError:
    """The error of a ``failed`` message. ``context`` is the script's stack, and the text of what caused the error.

    A script cannot make the prelude name a class of ours; who took the prelude's place can, and gains nothing by it.
    """
    line, column = place
    stack, cause = context
    match _KINDS.get(kind):
        case None:
            told = f"{text}\n{cause}" if cause else text
            return errors.Thrown(name, told, line=line, column=column, stack=stack)
        case errors.MemoryLimit:
            return errors.MemoryLimit(f"{text} ({memory(limits)})", line=line, column=column)
        case errors.PayloadTooLarge:
            told = f"{text} ({setting('PAYLOAD_BYTES')})"
            return errors.PayloadTooLarge(told, line=line, column=column)
        case other:
            return other(text, line=line, column=column)


def memory(limits: Limits) -> str:
    return f"the limit is {limits.memory_bytes} bytes, {setting('SCRIPT_MEMORY_BYTES')}"


def processor(limits: Limits, since: str) -> errors.CpuLimit:
    """``since`` is where the script was last seen, as ``after sleep in line 3``."""
    return errors.CpuLimit(
        f"the script computed for more than {limits.cpu_seconds} s of processor time without an event in its "
        f"history ({setting('SCRIPT_CPU_SECONDS')}), {since}"
    )


def wall(limits: Limits, since: str) -> errors.Timeout:
    return errors.Timeout(
        f"the script ran for more than {limits.wall_seconds:g} s without a host call "
        f"({setting('SCRIPT_WALL_SECONDS')}), {since}"
    )


def from_report(report: str, source: Source) -> tuple[str, str, Place | None]:
    """Name, message and place in V8's report of an uncaught exception.

    Its form is ``file:line: message``, the source line, a line of carets under the place, and the stack.
    """
    match = _REPORT.match(report)
    if match is None:
        return "Error", report.strip()[:_SEARCHED_CHARACTERS], None
    line = int(match["line"])
    head, column = _before_marker(match["rest"], source.line(line))
    named = _NAME.fullmatch(head)
    name, text = (named["name"], named["message"]) if named else ("Error", head)
    place = None if match["file"] == PRELUDE_NAME else Place(line, column)
    return name, text, place


def _before_marker(rest: str, line: str | None) -> tuple[str, int | None]:
    """The message, and the column from the line of carets below the source line. A message may look like both."""
    lines = rest.split("\n")
    wanted = None if line is None else line.rstrip()
    before = len(lines[0])
    for index in range(2, len(lines)):
        if before > _SEARCHED_CHARACTERS or wanted is None:
            break
        above = lines[index - 1].rstrip()
        # Only below the source line are the carets looked at.
        if above == wanted and (carets := lines[index].strip()) and not carets.strip("^"):
            return "\n".join(lines[: index - 1]), lines[index].index("^") + 1
        before += 1 + len(lines[index - 1])
    return lines[0][:_SEARCHED_CHARACTERS], None


def cut(text: str, limit: int) -> str:
    """At most ``limit`` bytes of UTF-8, with a mark where something is missing. Lone surrogates are replaced."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    return data[:limit].decode("utf-8", "ignore") + CUT_MARK


def death(end: Exit, stderr: str, limits: Limits, since: str) -> errors.ScriptError:
    """Why a sandbox process ended by itself."""
    if end.code == -signal.SIGXCPU:
        return processor(limits, since)
    # V8 traps without a word where it cannot get memory for its own bookkeeping.
    silent = end.code in _CRASHES and end.peak_bytes >= limits.memory_bytes
    if silent or _OUT_OF_MEMORY.search(stderr):
        return errors.MemoryLimit(f"the script used too much memory ({memory(limits)}), {since}")
    last = stderr.strip().splitlines()[-1:] or ["nothing on its standard error"]
    return errors.EngineCrash(f"the sandbox process ended with {_how(end)}, {since}: {cut(last[0], 300)}")


def _how(end: Exit) -> str:
    if end.code is None or end.code >= 0:
        return f"exit code {end.code}"
    try:
        return signal.Signals(-end.code).name
    except ValueError:
        return f"signal {-end.code}"


def no_start(stderr: str, address_space_bytes: int | None, overcommit: str) -> str:
    """Why V8 did not start, in one sentence for who runs the program.

    Args:
        stderr: what the process wrote.
        address_space_bytes: RLIMIT_AS, None where there is none.
        overcommit: what /proc/sys/vm/overcommit_memory holds.
    """
    need = "V8 did not start: it reserves about 1.5 TB of address space, which takes no memory"
    if address_space_bytes is not None:
        return f"{need}, and this process may have {address_space_bytes} bytes; run it without `ulimit -v` or LimitAS"
    if overcommit.strip() == "2":
        return f"{need}, and this machine grants none beyond its memory (vm.overcommit_memory=2); set it to 0 or 1"
    lines = [line for line in stderr.splitlines() if line.strip(" #")]
    fatal = [line for line in lines if "fatal" in line.lower()]
    words = cut((fatal or lines[-1:] or ["nothing on its standard error"])[0].strip(), 300)
    return f"the process that holds V8 did not start: {words}"
