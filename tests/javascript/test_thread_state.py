"""What Python keeps of an isolate's thread. Where it was made anew for each callback, results were lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import get_args

import pytest

from tests.javascript.engine import Harness, Recorder
from workflow_operator.javascript.worker.vm.bridge import Fresh, Realm

pytestmark = pytest.mark.integration

LEAKS = """
import sys
from tests.javascript.engine import Harness
from workflow_operator.javascript.worker import confine
from workflow_operator.javascript.worker.vm import realms

realms.MOST_RUNS = 1
engine = Harness(sys.argv[1])
meter = confine.MemoryMeter()

def grown():
    before = meter.data_bytes()
    engine.each(*[lambda realm: realm.text("'alive'")] * 200)
    return meter.data_bytes() - before

grown()
print(grown() // 200)
"""

SWALLOWED = """
import ctypes
import sys
from workflow_operator.javascript.worker import child

def called():
    raise MemoryError

sys.unraisablehook = child._not_swallowed
ctypes.CFUNCTYPE(None)(called)()
"""


class Counting(Recorder):
    """Counts the calls that one state of a thread has seen: what is local to a thread lies in it."""

    def __init__(self) -> None:
        super().__init__()
        self.local = threading.local()

    def ask(self, message: bytes) -> bytes:
        self.local.calls = getattr(self.local, "calls", 0) + 1
        return str(self.local.calls).encode()


@pytest.mark.parametrize("fresh", get_args(Fresh))
def test_each_callback_finds_the_state_of_the_one_before_it(fresh: Fresh) -> None:
    engine = Harness(fresh)
    engine.recorder = Counting()

    def ask(realm: Realm) -> str:
        return realm.text("ask('') + ask('')") + realm.text("ask('')")

    # All runs of one isolate are on one thread.
    assert engine.each(ask, ask) == (["123", "456"] if fresh == "realm" else ["123", "123"])


@pytest.mark.parametrize("fresh", get_args(Fresh))
def test_nothing_is_left_of_the_thread_of_an_isolate(fresh: Fresh) -> None:
    # The state of a thread has 16 KiB.
    command = [sys.executable, "-c", LEAKS, fresh]
    assert int(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=60).stdout) < 4096


def test_what_ctypes_cannot_call_ends_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", SWALLOWED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (70, "sandbox process: MemoryError()\n")
