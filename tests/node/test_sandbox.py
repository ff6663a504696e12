"""The sandbox inside a pod: under RuntimeDefault seccomp, without root, and with the pod's own limits around it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.test_bad_scripts_e2e import HARMLESS, TABLE, differences, inside
from tests.e2e.world import JsonObject, assert_sound
from tests.node.release import Release, numbered

LOOPS = 6

# All processes of a pod: process id, and some lines of their status.
_PROCESSES = """
import json, os
found = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        lines = open(f"/proc/{pid}/status").read().splitlines()
    except OSError:
        continue
    found[pid] = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
print(json.dumps(found))
"""

# What a process that has confined itself as a sandbox does gets for an answer.
_ATTEMPTS = """
import errno, os, socket, sys
from workflow_operator.javascript.worker import confine
attempts = {
    "socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "unix socket": lambda: socket.socketpair(),
    "read": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "write": lambda: os.open("/tmp/written", os.O_WRONLY | os.O_CREAT),
    "token": lambda: os.open("/var/run/secrets/kubernetes.io/serviceaccount/token", os.O_RDONLY),
    "execute": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
    "fork": os.fork,
    "signal": lambda: os.kill(os.getppid(), 0),
}
for name, attempt in attempts.items():
    pid = os.fork()
    if pid == 0:
        confine.confine()
        try:
            attempt()
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(f"{name}: {errno.errorcode.get(code, code)}")
"""


@pytest.fixture
def loops(release: Release) -> Iterator[dict[str, JsonObject]]:
    """Runs that compute until a limit ends them."""
    runs = numbered(LOOPS, {"script": inside("for (;;) {}")}, "loop")
    release.apply(runs)
    yield runs
    release.ended(runs)


def test_sandbox_processes_have_filters_stacked_and_no_privileges(
    release: Release, loops: dict[str, JsonObject]
) -> None:
    def sandboxes() -> list[dict[str, str]]:
        processes = json.loads(release.python(_PROCESSES))
        outer = int(processes["1"]["Seccomp_filters"])
        assert outer >= 1, "RuntimeDefault brings no filter"
        return [each for each in processes.values() if int(each["Seccomp_filters"]) > outer]

    found = release.until(sandboxes, "a process with more filters than the pod's")
    for status in found:
        assert {name: status[name].split()[0] for name in ("Uid", "NoNewPrivs", "Seccomp", "CapEff", "CapBnd")} == {
            "Uid": "65532",
            "NoNewPrivs": "1",
            "Seccomp": "2",
            "CapEff": "0" * 16,
            "CapBnd": "0" * 16,
        }


def test_a_confined_process_reaches_no_network_no_file_and_no_other_process(release: Release) -> None:
    answers = release.python(_ATTEMPTS).splitlines()
    assert answers
    assert [answer for answer in answers if not answer.endswith(": EPERM")] == []


def test_every_limit_holds(release: Release) -> None:
    release.apply(
        {case.id: case.spec for case in TABLE} | {name: {"script": script} for name, (script, _) in HARMLESS.items()}
    )
    runs = release.ended([case.id for case in TABLE] + list(HARMLESS), within=300)
    problems = [problem for case in TABLE for problem in differences(case, runs[case.id]["status"])]
    assert not problems, "\n".join(problems)
    assert {name: runs[name]["status"].get("output") for name in HARMLESS} == {
        name: output for name, (_, output) in HARMLESS.items()
    }
    for history in release.histories(runs.values()).values():
        assert_sound(history)


def test_no_operator_was_killed_or_restarted_by_them(release: Release) -> None:
    for pod in release.pods("operator"):
        assert [container["restartCount"] for container in pod["status"]["containerStatuses"]] == [0]
