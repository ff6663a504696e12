"""System call numbers of the kernels the sandbox runs on (Linux uapi: asm/unistd.h)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """``audit`` is the AUDIT_ARCH_ constant; ``allowed`` names the calls allowed with any arguments."""

    audit: int
    calls: Mapping[str, int]
    allowed: tuple[str, ...]


_CHECKED = frozenset({"mmap", "mprotect", "clone", "clone3", "prctl", "prlimit64"})

_X86_64 = {
    "read": 0, "write": 1, "close": 3, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "readv": 19, "writev": 20, "sched_yield": 24,
    "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "clone": 56, "exit": 60, "uname": 63,
    "gettimeofday": 96, "getrusage": 98, "sysinfo": 99, "times": 100, "getuid": 102, "sigaltstack": 131,
    "sched_getparam": 143, "sched_getscheduler": 145,
    "prctl": 157, "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204, "restart_syscall": 219,
    "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "set_robust_list": 273,
    "prlimit64": 302, "getcpu": 309, "getrandom": 318, "membarrier": 324, "rseq": 334, "clone3": 435,
}  # fmt: skip

_AARCH64 = {
    "close": 57, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "exit": 93, "exit_group": 94,
    "futex": 98, "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113, "clock_getres": 114,
    "sched_getscheduler": 120, "sched_getparam": 121,
    "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128,
    "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "times": 153, "uname": 160,
    "getrusage": 165, "prctl": 167, "getcpu": 168, "gettimeofday": 169, "getpid": 172, "getuid": 174, "gettid": 178,
    "sysinfo": 179, "brk": 214, "munmap": 215, "mremap": 216, "clone": 220, "mmap": 222, "mprotect": 226,
    "madvise": 233, "prlimit64": 261, "getrandom": 278, "membarrier": 283, "rseq": 293, "clone3": 435,
}  # fmt: skip


def _architecture(audit: int, calls: Mapping[str, int]) -> Architecture:
    return Architecture(audit, calls, tuple(name for name in calls if name not in _CHECKED))


ARCHITECTURES: Mapping[str, Architecture] = {
    "x86_64": _architecture(0xC000003E, _X86_64),
    "aarch64": _architecture(0xC00000B7, _AARCH64),
}
