"""Which messages a run is made of: what everybody sends to NATS, by subject, for each run.

A bare subscription to everything counts messages and bytes while runs pass, four at once. What is stored and then
delivered under its own subject counts twice. Messages that are sent without a run too (signs of life, requests that
wait) are in it; the last column has them for each second without a run.

    python -m benchmarks.messages [--runs 64] [--program OTHER_CHECKOUT/.venv/bin/workflow-operator]
"""

from __future__ import annotations

import argparse
import re
import socket
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.cluster import installation, prepare, program_of
from benchmarks.measure import show, store
from benchmarks.scripts import FIFTY, FIVE, ONE
from dev import tools
from dev.control_plane import ControlPlane

AT_ONCE = 4
IDLE_SECONDS = 5.0
_HEADER = re.compile(rb"H?MSG (\S+) \S+ (?:\S+ )?(?:\d+ )?(\d+)\r\n")
_OWN = re.compile(r"(?<=\.)([0-9a-f]{8}-[0-9a-f-]{27}|bench|[0-9]+|(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{8,})(?=\.|$)")


class Everything:
    """Counts what is sent, by subject; parts of a subject that differ from run to run are left out."""

    def __init__(self, url: str) -> None:
        self.messages: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB > 1\r\nPING\r\n')
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        file = self._socket.makefile("rb")
        while line := file.readline():
            if found := _HEADER.match(line):
                file.read(int(found[2]) + 2)
                subject = named(found[1].decode())
                self.messages[subject] += 1
                self.bytes[subject] += int(found[2])
            elif line.startswith(b"PING"):
                self._socket.sendall(b"PONG\r\n")


def named(subject: str) -> str:
    """The subject with * for what is of one run, one consumer or one question."""
    if subject.startswith("_INBOX"):
        return "answers"
    if subject.startswith("$JS.ACK"):
        return "$JS.ACK." + subject.split(".")[2]
    return re.sub(r"(\.\*)+", ".*", _OWN.sub("*", re.sub(r"lane-\d+", "*", subject)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--program", type=Path, help="workflow-operator of another checkout, in its .venv")
    parser.add_argument("--name", default="messages", help="of the file with the results")
    given = parser.parse_args()
    what = program_of(given.program)
    counted: dict[str, Counter[str]] = {}
    sizes: dict[str, Counter[str]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="workflow-operator-bench-") as scratch,
        ControlPlane(tools.control_plane(), tools.kubectl(), Path(scratch) / "control-plane") as control_plane,
    ):
        prepare(control_plane, what["project"])
        with installation(control_plane, Path(scratch) / "stack", **what) as made:
            everything = Everything(made.stack.nats.url)
            time.sleep(IDLE_SECONDS)
            idle = everything.messages.copy()
            for kind in (ONE, FIVE, FIFTY):
                before, bytes_before = everything.messages.copy(), everything.bytes.copy()
                made.load(kind, given.runs, AT_ONCE)
                counted[kind] = everything.messages - before
                sizes[kind] = everything.bytes - bytes_before
    rows = {
        subject: {
            **{kind: counted[kind][subject] / given.runs for kind in counted},
            "bytes, one": sizes[ONE][subject] / given.runs,
            "idle, a second": idle[subject] / IDLE_SECONDS,
        }
        for subject, _ in counted[FIFTY].most_common()
    }
    show("messages a run", rows)
    print(f"\nwritten to {store(given.name, rows)}")


if __name__ == "__main__":
    main()
