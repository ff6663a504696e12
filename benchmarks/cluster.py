"""From create to Finished on a real API server: API server, etcd, NATS, one operator, one projector, each a process.

Runs of several kinds pass 32 at once, and in the same round the floor, which no operator can go below: create and one
PUT of /status, with nobody watching. Rounds of all kinds alternate, and medians are shown. Then runs alone, one after
another, and the fsyncs of NATS, which strace counts where it is installed.

Rates depend on the machine and what else it does; trust the ratio to the floor, and counts and processor time more
than rates. The client is raw HTTP, its own processor time is in no figure but `client`.

    python -m benchmarks.cluster [--runs 300] [--rounds 3] [--program OTHER_CHECKOUT/.venv/bin/workflow-operator]
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.lean import PREFIX, Address, Client, Ends
from benchmarks.measure import (
    Figures,
    Meter,
    api_requests,
    child_named,
    medians,
    nats_traffic,
    quantile,
    show,
    store,
)
from benchmarks.scripts import FIFTY, FIVE, ONE, SCRIPTS
from dev import tools
from dev.control_plane import ControlPlane, free_ports
from dev.stack import COMMAND, CRDS, LEASHED, PROJECT, Stack
from workflow_operator.jetstream import EmbeddedServer

AT_ONCE = 32
FLOOR = "floor"
KINDS = {ONE: 1.0, FIVE: 2 / 3, FIFTY: 1 / 5}
"""What part of --runs a round takes of each kind."""

GROUP = "/apis/workflow-operator.dev/v1alpha1"
NAMESPACE = "bench"
RUNS = f"{GROUP}/namespaces/{NAMESPACE}/workflowruns"
FLOORS = f"{GROUP}/namespaces/{NAMESPACE}/floorruns"
RESOURCES = frozenset({"workflowruns", "floorruns", "events"})
SETTLE_SECONDS = 0.5
"""For what is done after the end of the last run: acknowledgements, sandboxes made ready."""
IDLE_SECONDS = 10.0

_numbers = itertools.count()


class Installation:
    """A stack under measurement, and the 32 connections that load it."""

    def __init__(self, stack: Stack, monitor: str) -> None:
        self.stack = stack
        control_plane = stack.control_plane
        self.nats_pid = child_named("nats-server")
        self.address = Address(control_plane.url, control_plane.certificate, control_plane.token)
        self.clients = [Client(self.address) for _ in range(AT_ONCE)]
        self.ends = Ends(self.address, RUNS)
        self._control_plane = control_plane
        self.monitor = monitor
        processes = {
            "apiserver": control_plane.pids["kube-apiserver"],
            "etcd": control_plane.pids["etcd"],
            "nats": self.nats_pid,
            "operator": stack.operators[0].pid,
            "projector": stack.projectors[0].pid,
        }
        self.meter = Meter(processes, with_sandboxes="operator")
        self._status = b""

    def complete(self, client: Client, kind: str) -> float:
        """Create a run and wait for its end: seconds from the first byte sent to the end seen."""
        name = f"{PREFIX}{next(_numbers)}"
        ended = self.ends.expect(name)
        begun = time.perf_counter()
        client.call("POST", RUNS, document("WorkflowRun", name, SCRIPTS[kind]))
        if not ended.wait(120):
            raise TimeoutError(f"the run {name} ({kind}) did not end within 120 s")
        if self.ends.failures:
            raise AssertionError(f"a run did not end Complete: {self.ends.failures[0]}")
        return self.ends.when(name) - begun

    def floor(self, client: Client, _: str) -> float:
        """What a run costs the API server in any case: create, and PUT of the status of a run that is over."""
        name = f"{PREFIX}{next(_numbers)}"
        begun = time.perf_counter()
        created = client.call("POST", FLOORS, document("FloorRun", name, SCRIPTS[ONE]))
        body = created.rstrip()[:-1] + b',"status":' + self._status + b"}"
        client.call("PUT", f"{FLOORS}/{name}/status", body)
        return time.perf_counter() - begun

    def one(self, kind: str) -> Callable[[Client, str], float]:
        return self.floor if kind == FLOOR else self.complete

    def load(self, kind: str, count: int, at_once: int = AT_ONCE) -> Figures:
        """A round: `count` of a kind, so many (32 at most) at once. What each cost, in milliseconds of processor time
        and messages."""
        # The API server takes long over its metrics: outside of what is measured.
        requests = self._requests()
        traffic, before, client = nats_traffic(self.monitor), self.meter.read(), time.process_time()
        begun = time.perf_counter()
        self._pass(kind, count, at_once)
        seconds = time.perf_counter() - begun
        client = time.process_time() - client
        time.sleep(SETTLE_SECONDS)
        spent = {name: (value - before[name]) / count * 1000 for name, value in self.meter.read().items()}
        moved = {name: (value - traffic[name]) / count for name, value in nats_traffic(self.monitor).items()}
        asked = {name: (value - requests[name]) / count for name, value in self._requests().items()}
        figures = {
            "runs/s": count / seconds,
            "seconds": seconds + SETTLE_SECONDS,
            "cpu": sum(spent.values()),
            **spent,
            "client": client / count * 1000,
        }
        return {**figures, **moved, **{f"api {name}": value for name, value in asked.items() if value}}

    def idle(self, seconds: float) -> Figures:
        """Of nothing to do: milliseconds of processor time a second, and messages a minute."""
        before, traffic = self.meter.read(), nats_traffic(self.monitor)
        time.sleep(seconds)
        spent = {name: (value - before[name]) / seconds * 1000 for name, value in self.meter.read().items()}
        moved = {name: (value - traffic[name]) / seconds * 60 for name, value in nats_traffic(self.monitor).items()}
        return {**spent, **moved}

    def _pass(self, kind: str, count: int, at_once: int) -> None:
        left = iter(range(count))
        lock, errors = threading.Lock(), []

        def work(client: Client) -> None:
            while True:
                with lock:
                    if errors or next(left, None) is None:
                        return
                try:
                    self.one(kind)(client, kind)
                except Exception as error:
                    errors.append(error)

        threads = [threading.Thread(target=work, args=(client,)) for client in self.clients[:at_once]]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        if errors:
            raise errors[0]

    def _requests(self) -> Counter[str]:
        return api_requests(self._control_plane.metrics(), RESOURCES)

    def warm_up(self) -> None:
        """Let some runs pass, and take the status of one for the floor."""
        self._pass(ONE, 2 * AT_ONCE, AT_ONCE)
        [run] = json.loads(self.clients[0].call("GET", f"{RUNS}?limit=1"))["items"]
        self._status = json.dumps(run["status"]).encode()


def document(kind: str, name: str, script: str) -> bytes:
    run = {
        "apiVersion": "workflow-operator.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"script": script, "input": {"number": 1}},
    }
    return json.dumps(run).encode()


@contextmanager
def installation(
    control_plane: ControlPlane,
    folder: Path,
    *,
    project: Path = PROJECT,
    command: Sequence[str] = COMMAND,
    sync: bool = False,
) -> Iterator[Installation]:
    """A stack of one operator and one projector on a running API server, warmed up. `sync`: every write of NATS is on
    the disk before it is acknowledged; the rest as in dev.stack.Stack."""
    (port,) = free_ports(1)
    nats = EmbeddedServer(folder / "nats", sync_always=sync, config=f"http: 127.0.0.1:{port}")
    stack = Stack(control_plane, folder, nats=nats, project=project, command=command)
    try:
        stack.start(operators=1, projectors=1)
        made = Installation(stack, f"http://127.0.0.1:{port}")
        made.warm_up()
        yield made
        made.ends.close()
    finally:
        stack.stop()


def prepare(control_plane: ControlPlane, project: Path) -> None:
    """A namespace, and a second resource with the same schema, which nobody watches."""
    control_plane.kubectl("create", "namespace", NAMESPACE)
    crd = yaml.safe_load((project / CRDS / "workflowruns.yaml").read_text())
    crd["metadata"]["name"] = "floorruns.workflow-operator.dev"
    crd["spec"]["names"] = {"kind": "FloorRun", "listKind": "FloorRunList", "plural": "floorruns"}
    control_plane.kubectl("apply", "-f", "-", input=json.dumps(crd))
    control_plane.kubectl("wait", "--for=condition=Established", f"crd/{crd['metadata']['name']}", "--timeout=30s")


def program_of(program: Path | None) -> dict[str, Any]:
    """The checkout that a program belongs to, and what runs a role of it, as installation() takes them."""
    if program is None:
        return {"project": PROJECT, "command": COMMAND}
    place = program.absolute()
    return {"project": place.parents[2], "command": (str(place.with_name("python")), "-P", str(LEASHED))}


def measured(made: Installation, runs: int, rounds: int, alone: int) -> tuple[dict[str, Figures], dict[str, Figures]]:
    """Figures under load by kind, and latencies in milliseconds of runs alone by kind; all kinds in each round."""
    load: dict[str, list[Figures]] = {kind: [] for kind in (FLOOR, *KINDS)}
    latencies: dict[str, list[float]] = {FLOOR: [], ONE: []}
    for number in range(rounds):
        for kind, results in load.items():
            results.append(made.load(kind, max(AT_ONCE, int(runs * KINDS.get(kind, 1.0)))))
            results[-1]["ratio to floor"] = results[-1]["runs/s"] / load[FLOOR][-1]["runs/s"]
            results[-1]["the same by cpu"] = load[FLOOR][-1]["cpu"] / results[-1]["cpu"]
            if kind != FLOOR:
                results[-1]["ratio to one"] = results[-1]["runs/s"] / load[ONE][-1]["runs/s"]
            print(f"round {number + 1}: {kind:18} {results[-1]['runs/s']:6.1f}/s", file=sys.stderr)
        for kind, times in latencies.items():
            times += [made.one(kind)(made.clients[0], kind) for _ in range(alone)]
    return {kind: medians(results) for kind, results in load.items()}, {
        kind: {"p50 ms": statistics.median(times) * 1000, "p99 ms": quantile(times, 0.99) * 1000}
        for kind, times in latencies.items()
    }


def fsyncs(made: Installation, runs: int, folder: Path) -> Figures:
    """What NATS has put on the disk for each run: calls of fsync, and files opened so that each write is one."""
    found = {}
    for kind, part in KINDS.items():
        count = max(AT_ONCE, int(runs * part))
        log = folder / "strace"
        calls = "trace=fsync,fdatasync,openat"
        with subprocess.Popen(["strace", "-f", "-qq", "-e", calls, "-o", log, "-p", str(made.nats_pid)]) as strace:
            time.sleep(1.0)
            made.load(kind, count)
            strace.terminate()
        lines = log.read_text().splitlines()
        found[kind] = sum("sync(" in line or "O_SYNC" in line or "O_DSYNC" in line for line in lines) / count
    return found


def tables(figures: dict[str, Figures], alone: dict[str, Figures]) -> None:
    cpu = ("cpu", "apiserver", "etcd", "nats", "operator", "projector", "sandboxes", "client")
    rates = ("runs/s", "ratio to floor", "the same by cpu", "ratio to one")
    traffic = ("in_msgs", "out_msgs", "in_bytes", "out_bytes")
    show("rates, 32 at once", {kind: pick(row, rates) for kind, row in figures.items() if "runs/s" in row})
    show("processor time, ms a run (idle: ms a second)", {kind: pick(row, cpu) for kind, row in figures.items()})
    show("NATS, a run (idle: a minute)", {kind: pick(row, traffic) for kind, row in figures.items() if kind != FLOOR})
    asked = {
        kind: {name[4:]: value for name, value in row.items() if name[:4] == "api "} for kind, row in figures.items()
    }
    show("requests to the API server, a run", {kind: row for kind, row in asked.items() if row})
    show("alone, one after another", alone)


def pick(row: Figures, names: tuple[str, ...]) -> Figures:
    return {name: row[name] for name in names if name in row}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300, help="runs of one state in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", type=int, default=100, help="runs one after another in a round")
    parser.add_argument("--no-fsyncs", action="store_true", help="leave out the pass that counts fsyncs")
    parser.add_argument("--program", type=Path, help="workflow-operator of another checkout, in its .venv")
    parser.add_argument("--name", default="cluster", help="of the file with the results")
    given = parser.parse_args()
    what = program_of(given.program)
    with (
        tempfile.TemporaryDirectory(prefix="workflow-operator-bench-") as scratch,
        ControlPlane(tools.control_plane(), tools.kubectl(), Path(scratch) / "control-plane") as control_plane,
    ):
        prepare(control_plane, what["project"])
        with installation(control_plane, Path(scratch) / "stack", **what) as made:
            idle = made.idle(IDLE_SECONDS)
            figures, alone = measured(made, given.runs, given.rounds, given.alone)
        found = {"load": figures, "idle": idle, "alone": alone}
        tables(figures | {"idle": idle}, alone)
        if shutil.which("strace") and not given.no_fsyncs:
            # Their histories go with the store of the first NATS.
            control_plane.kubectl("delete", "--raw", RUNS)
            with installation(control_plane, Path(scratch) / "synced", **what, sync=True) as made:
                found["fsyncs"] = fsyncs(made, given.runs // 3, Path(scratch))
            show("NATS with sync_interval: always", {"fsyncs a run": found["fsyncs"]})
    print(f"\nwritten to {store(given.name, found)}")


if __name__ == "__main__":
    main()
