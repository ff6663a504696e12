"""Takes from the sandbox process everything that a script does not need: privileges, files, network, other processes.

It holds for root too: capabilities are dropped, and the kernel refuses every system call that is not listed.
Refused calls fail with EPERM instead of killing, because ICU and glibc probe for files and go on without them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from dataclasses import dataclass

from workflow_operator.javascript.worker.syscalls import ARCHITECTURES, Architecture

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_SET = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL = 0x80000000
_EPERM, _ENOSYS = 1, 38

_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16
_PROT_EXEC = 4
_CLONE_THREAD = 0x10000
_PR_SET_NAME = 15
_PR_SET_VMA = 0x53564D41

# Of a sandbox process in all; the kernel kills it then.
LIFE_CPU_SECONDS = 3600

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Instruction:
    """One classic BPF instruction; jumps count from the next one."""

    code: int
    value: int
    if_true: int = 0
    if_false: int = 0

    def packed(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.if_true, self.if_false, self.value)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class MemoryMeter:
    """Reads the size that RLIMIT_DATA limits. Opened before the files are taken away."""

    def __init__(self) -> None:
        self._descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._page = resource.getpagesize()

    def data_bytes(self) -> int:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return int(os.read(self._descriptor, 256).split()[5]) * self._page


def confine() -> None:
    """Confine this process and every thread that it starts from now on. Raises OSError where the kernel refuses."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities()
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
        resource.setrlimit(limit, (0, 0))
    _limit_hard(resource.RLIMIT_CPU, LIFE_CPU_SECONDS)
    # A soft limit raises SIGXCPU, which ends the process and names the reason; ignored, it would not.
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    _install(filter_program(_architecture()))


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process with the one that forked it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def limit_cpu(seconds: int) -> None:
    """Processor time of the process, all of its life; more raises SIGXCPU."""
    _limit_soft(resource.RLIMIT_CPU, seconds)


def limit_data(size: int) -> None:
    """Private writable memory in bytes; more is refused by the kernel."""
    _limit_soft(resource.RLIMIT_DATA, size)


def limit_data_for_life(size: int) -> None:
    """As :func:`limit_data`, and never more again."""
    _limit_hard(resource.RLIMIT_DATA, size)


def give_back_memory() -> None:
    """Return to the kernel what the allocator has kept of what was freed."""
    _libc.malloc_trim(0)


def _limit_hard(what: int, wanted: int) -> None:
    _, hard = resource.getrlimit(what)
    least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(what, (least, least))


def _limit_soft(what: int, wanted: int) -> None:
    _, hard = resource.getrlimit(what)
    over = hard != resource.RLIM_INFINITY and (wanted == resource.RLIM_INFINITY or wanted > hard)
    resource.setrlimit(what, (hard if over else wanted, hard))


def filter_program(architecture: Architecture) -> list[Instruction]:
    """The seccomp filter: listed calls are allowed, some only with certain arguments, all others give EPERM."""
    calls = architecture.calls
    refuse = Instruction(_RETURN, _ERRNO | _EPERM)
    allow = Instruction(_RETURN, _ALLOW)
    program = [
        Instruction(_LOAD, _OFFSET_ARCHITECTURE),
        Instruction(_JUMP_EQUAL, architecture.audit, if_true=1),
        Instruction(_RETURN, _KILL),
        Instruction(_LOAD, _OFFSET_NUMBER),
        # glibc falls back to clone, whose flags can be read here.
        Instruction(_JUMP_EQUAL, calls["clone3"], if_false=1),
        Instruction(_RETURN, _ERRNO | _ENOSYS),
    ]
    for name in architecture.allowed:
        program += [Instruction(_JUMP_EQUAL, calls[name], if_false=1), allow]
    for name, checks in (
        ("mmap", _never(2, _PROT_EXEC)),
        ("mprotect", _never(2, _PROT_EXEC)),
        ("clone", _always(0, _CLONE_THREAD)),
        ("prctl", _one_of(0, (_PR_SET_NAME, _PR_SET_VMA))),
        ("prlimit64", _one_of(0, (0,)) + _one_of(1, (resource.RLIMIT_CPU, resource.RLIMIT_DATA))),
    ):
        body = [*checks, allow]
        program += [Instruction(_JUMP_EQUAL, calls[name], if_false=len(body)), *body]
    return [*program, refuse]


def _never(argument: int, flag: int) -> list[Instruction]:
    return [_argument(argument), Instruction(_JUMP_SET, flag, if_false=1), Instruction(_RETURN, _ERRNO | _EPERM)]


def _always(argument: int, flag: int) -> list[Instruction]:
    return [_argument(argument), Instruction(_JUMP_SET, flag, if_true=1), Instruction(_RETURN, _ERRNO | _EPERM)]


def _one_of(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    jumps = [Instruction(_JUMP_EQUAL, value, if_true=len(values) - index) for index, value in enumerate(values)]
    return [_argument(argument), *jumps, Instruction(_RETURN, _ERRNO | _EPERM)]


def _argument(index: int) -> Instruction:
    # The lower half: both architectures are little-endian.
    return Instruction(_LOAD, _OFFSET_ARGUMENTS + 8 * index)


def _architecture() -> Architecture:
    machine = platform.machine()
    if sys.byteorder != "little" or machine not in ARCHITECTURES:
        raise OSError(f"the sandbox knows the system calls of {', '.join(ARCHITECTURES)}, not of {machine}")
    return ARCHITECTURES[machine]


def _install(program: list[Instruction]) -> None:
    data = b"".join(instruction.packed() for instruction in program)
    argument = _Program(len(program), data)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(argument))


def _drop_capabilities() -> None:
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, bytes(24)), "capset")


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    _check(_libc.prctl(option, *padded), f"prctl {option}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
