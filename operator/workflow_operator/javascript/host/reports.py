"""From what failed, and how processes ended, to what a user reads. Pure, and linear in what it is given."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from workflow_operator.history import errors
from workflow_operator.javascript.host.messages import Exit, Limits

CUT_MARK = " ... [line cut]"

_KINDS: dict[str, type[errors.ScriptError]] = {
    kind.__name__: kind
    for kind in (errors.MemoryLimit, errors.PayloadTooLarge, errors.Deadlock, errors.NotSerializable)
}

# What ends a run and cannot be caught: a script that gives an error such a name is not believed. (What can be caught of
# ours, it may well throw again.)
_NO_SCRIPT_THROWS = {
    kind.__name__
    for kind in errors.ScriptError.__subclasses__()
    if kind not in (errors.Thrown, errors.NotSerializable, errors.PayloadTooLarge)
}

_CRASHES = (-signal.SIGTRAP, -signal.SIGILL, -signal.SIGABRT, -signal.SIGSEGV)
_OUT_OF_MEMORY = re.compile(r"out of memory|Cannot allocate memory|MemoryError|bad_alloc")


def setting(name: str) -> str:
    """The environment variable that sets a limit."""
    return f"WORKFLOW_OPERATOR_{name}"


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
    more = f"\n{cause}" if cause else ""
    match _KINDS.get(kind):
        case None:
            if name in _NO_SCRIPT_THROWS:
                name, text = "Error", f"{name}: {text}"
            return errors.Thrown(name, text + more, line=line, column=column, stack=stack)
        case errors.MemoryLimit:
            return errors.MemoryLimit(f"{text} ({memory(limits)}){more}", line=line, column=column)
        case errors.PayloadTooLarge:
            return errors.PayloadTooLarge(f"{text} ({setting('PAYLOAD_BYTES')}){more}", line=line, column=column)
        case other:
            return other(text + more, line=line, column=column)


def last_seen(error: errors.ScriptError, since: str) -> errors.ScriptError:
    """The error itself; of one that has no place in the script because nothing was thrown, with ``since``."""
    if error.line is None and isinstance(error, errors.MemoryLimit | errors.Deadlock):
        return type(error)(f"{error.message}, {since}")
    return error


def never_sent(what: str) -> errors.EngineCrash:
    """The sandbox said what the prelude does not: somebody has taken its place, and its process is of no use."""
    return errors.EngineCrash(f"the sandbox sent something that it never sends: {what}")


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


def no_realms(missing: Sequence[str]) -> str:
    """That runs get isolates, although realms were wanted. ``missing``: symbols."""
    return (
        f"each run gets a V8 isolate of its own, which costs several times as much as a realm "
        f"({setting('SANDBOX_FRESH')}): the V8 of this mini-racer does not export {', '.join(missing)}"
    )


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
