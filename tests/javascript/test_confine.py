"""What a confined process cannot do. Each attempt runs in a forked process that confines itself first."""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from workflow_operator.javascript.worker import confine
from workflow_operator.javascript.worker.confine import Instruction, filter_program
from workflow_operator.javascript.worker.syscalls import ARCHITECTURES, Architecture

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000


def verdict(program: list[Instruction], number: int, audit: int, arguments: tuple[int, ...] = ()) -> int:
    """Runs the filter as the kernel does."""
    data = {0: number, 4: audit} | {16 + 8 * index: value for index, value in enumerate((*arguments, *[0] * 6)[:6])}
    position = accumulator = 0
    while True:
        step = program[position]
        position += 1
        if step.code == 0x20:
            accumulator = data[step.value]
        elif step.code == 0x06:
            return step.value
        else:
            true = accumulator == step.value if step.code == 0x15 else bool(accumulator & step.value)
            position += step.if_true if true else step.if_false


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(
    ("name", "arguments", "wanted"),
    [
        ("read", (0,), ALLOW),
        ("futex", (1, 2, 3), ALLOW),
        ("mmap", (0, 4096, 3), ALLOW),
        ("mmap", (0, 4096, 7), EPERM),
        ("mprotect", (0, 4096, 5), EPERM),
        ("clone", (0x3D0F00,), ALLOW),
        ("clone", (17,), EPERM),
        ("clone3", (0,), ENOSYS),
        ("prctl", (15,), ALLOW),
        ("prctl", (22,), EPERM),
        ("prlimit64", (0, resource.RLIMIT_DATA), ALLOW),
        ("prlimit64", (0, resource.RLIMIT_NOFILE), EPERM),
        ("prlimit64", (1, resource.RLIMIT_CPU), EPERM),
    ],
)
def test_the_filter(machine: str, name: str, arguments: tuple[int, ...], wanted: int) -> None:
    architecture = ARCHITECTURES[machine]
    program = filter_program(architecture)
    assert verdict(program, architecture.calls[name], architecture.audit, arguments) == wanted


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_the_filter_refuses_every_call_that_is_not_listed(architecture: Architecture) -> None:
    program = filter_program(architecture)
    allowed = {number for number in range(1024) if verdict(program, number, architecture.audit) == ALLOW}
    assert allowed <= set(architecture.calls.values())
    assert verdict(program, 0x40000000 | architecture.calls["read"], architecture.audit) == EPERM
    assert verdict(program, architecture.calls["read"], 0x40000003) == KILL
    assert len(program) < 4096


def _open() -> object:
    return os.open("/etc/passwd", os.O_RDONLY)


def _open_own_memory() -> object:
    return os.open("/proc/self/mem", os.O_RDWR)


def _socket() -> object:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def _unix_socket() -> object:
    return socket.socketpair()


def _execute() -> object:
    return os.execv(sys.executable, [sys.executable, "-c", ""])


def _fork() -> object:
    return os.fork()


def _signal_parent() -> object:
    return os.kill(os.getppid(), 0)


def _become_root() -> object:
    return os.setuid(0)


def _more_descriptors() -> object:
    return resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))


def _executable_memory() -> object:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_long
    if libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0)) == -1:
        raise OSError(ctypes.get_errno(), "mmap")
    return None


def _mount() -> object:
    if ctypes.CDLL(None, use_errno=True).mount(b"none", b"/mnt", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    return None


ATTEMPTS = [
    _open,
    _open_own_memory,
    _socket,
    _unix_socket,
    _execute,
    _fork,
    _signal_parent,
    _become_root,
    _more_descriptors,
    _executable_memory,
    _mount,
]


@pytest.mark.integration
@pytest.mark.parametrize("user", [None, 65534], ids=["same user", "nobody"])
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_confined_process_may_not(attempt: Callable[[], object], user: int | None) -> None:
    if user is not None and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    assert in_confinement(attempt, user) == "refused"


@pytest.mark.integration
def test_a_confined_process_may_still_compute() -> None:
    assert in_confinement(lambda: sum(range(10)), None) == "done"


@pytest.mark.integration
def test_memory_and_processor_time_are_limited() -> None:
    def allocate() -> None:
        confine.limit_data(64 * 1024 * 1024)
        bytearray(512 * 1024 * 1024)

    assert in_confinement(allocate, None) == "out of memory"

    def spin() -> None:
        confine.limit_cpu(1)
        while True:
            pass

    assert in_confinement(spin, None) == f"signal {signal.SIGXCPU}"


@pytest.mark.integration
def test_no_limit_for_life_can_be_raised_again() -> None:
    def more_processor_time() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (confine.LIFE_CPU_SECONDS + 1, confine.LIFE_CPU_SECONDS + 1))

    def more_memory() -> None:
        confine.limit_data_for_life(1 << 30)
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 31, 1 << 31))

    def less_and_back() -> None:
        confine.limit_data_for_life(1 << 30)
        confine.limit_data(1 << 29)
        confine.limit_data(resource.RLIM_INFINITY)
        assert resource.getrlimit(resource.RLIMIT_DATA) == (1 << 30, 1 << 30)

    user = 65534 if os.geteuid() == 0 else None
    assert in_confinement(more_processor_time, user) == "refused"
    assert in_confinement(more_memory, user) == "refused"
    assert in_confinement(less_and_back, None) == "done"


@pytest.mark.integration
def test_a_process_ends_with_the_one_that_forked_it() -> None:
    script = """if True:
        import os, signal, sys, time
        sys.path.insert(0, "operator")
        from workflow_operator.javascript.worker import confine
        parent = os.getpid()
        if os.fork() == 0:
            confine.die_with_parent(parent)
            os.write(1, str(os.getpid()).encode() + b"\\n")
            signal.pause()
        signal.pause()
        """
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    forked = int(process.stdout.readline())
    process.kill()
    process.wait()
    # The pipe ends with its last holder, which is the forked process.
    ended, _, _ = select.select([process.stdout], [], [], 10)
    process.stdout.close()
    if not ended:
        os.kill(forked, signal.SIGKILL)
    assert ended


def in_confinement(attempt: Callable[[], object], user: int | None) -> str:
    """What became of the attempt: done, refused, out of memory, or the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            confine.confine()
            attempt()
            code = 0
        except OSError as error:
            code = 1 if error.errno in (1, 24) else 9
        except ValueError:
            code = 1  # the resource module's words for EPERM
        except MemoryError:
            code = 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else {0: "done", 1: "refused", 2: "out of memory"}.get(code, f"code {code}")
