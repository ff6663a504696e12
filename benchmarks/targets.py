"""What is to be reached, and where the figure for it is in the results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.scripts import FIB, FIFTY, FIVE, ONE

Results = dict[str, Any]
"""What each benchmark stored, by its name."""


@dataclass(frozen=True)
class Target:
    """A figure, and its bound: at least or at most. ``then`` is where to go on to, None if nowhere."""

    what: str
    read: Callable[[Results], float]
    bound: float
    then: float | None
    at_least: bool
    bounded_by: str | Callable[[Results], str]

    def reached(self, value: float) -> float:
        """1 where the bound is just met, 2 where it is twice as good."""
        return value / self.bound if self.at_least else self.bound / max(value, 1e-9)


def _cluster(kind: str, name: str) -> Callable[[Results], float]:
    return lambda results: float(results["cluster"]["load"][kind][name])


def _engine(kind: str, name: str) -> Callable[[Results], float]:
    return lambda results: float(results["engine"]["load"][kind][name])


def _row(benchmark: str, row: str, name: str) -> Callable[[Results], float]:
    return lambda results: float(results[benchmark][row][name])


def _ratio(kind: str) -> Callable[[Results], float]:
    return _cluster(kind, "ratio to one")


def _above_floor(results: Results) -> float:
    load = results["cluster"]["load"]
    return float(load[ONE]["apiserver"] - load["floor"]["apiserver"])


def _flat(results: Results) -> float:
    none, many = list(results["scale"].values())[:2]
    return float((many["cpu"] - many["floor"]) / (none["cpu"] - none["floor"]))


def _memory(results: Results) -> float:
    return float(list(results["scale"].values())[-1]["operator MB"])


_SERVERS = ("apiserver", "etcd", "nats", "operator", "engine", "projector", "sandboxes")


def most_of(benchmark: str, kind: str) -> Callable[[Results], str]:
    """Who took most of the processor time, and how much of the cores all of them had."""

    def told(results: Results) -> str:
        row = results[benchmark]["load"][kind]
        name, most = max(((each, row[each]) for each in _SERVERS if each in row), key=lambda pair: pair[1])
        cores = row["cpu"] * row["runs/s"] / 1000
        return f"{name}: {most / row['cpu']:.0%} of {cores:.1f} cores"

    return told


ALL = (
    Target("one state / floor", _cluster(ONE, "ratio to floor"), 0.75, 0.9, True, most_of("cluster", ONE)),
    Target("the same by CPU", _cluster(ONE, "the same by cpu"), 0.75, 0.9, True, most_of("cluster", ONE)),
    Target("API server, ms above the floor", _above_floor, 1.0, 0.0, False, "the watch, twice: operator and benchmark"),
    Target("NATS, ms CPU a run", _cluster(ONE, "nats"), 1.0, 0.5, False, "messages a run"),
    Target("operator, ms CPU a run", _cluster(ONE, "operator"), 3.0, 1.5, False, "round trips a run, in Python"),
    Target("projector, ms CPU a run", _cluster(ONE, "projector"), 0.8, 0.4, False, "messages a run, in Python"),
    Target("sandboxes, ms CPU a run", _cluster(ONE, "sandboxes"), 1.2, 0.6, False, "a new realm of V8 for each run"),
    Target("five transitions / one state", _ratio(FIVE), 0.95, 1.0, True, most_of("cluster", FIVE)),
    Target("fifty transitions / one state", _ratio(FIFTY), 0.8, 0.95, True, most_of("cluster", FIFTY)),
    Target(
        "alone, p50 ms",
        lambda r: float(r["cluster"]["alone"][ONE]["p50 ms"]),
        25.0,
        None,
        False,
        "round trips in a row",
    ),
    Target(
        "alone, p99 ms", lambda r: float(r["cluster"]["alone"][ONE]["p99 ms"]), 60.0, None, False, "other work here"
    ),
    Target("engine: one state, runs/s", _engine(ONE, "runs/s"), 400, 640, True, most_of("engine", ONE)),
    Target("engine: five transitions, runs/s", _engine(FIVE, "runs/s"), 300, 340, True, most_of("engine", FIVE)),
    Target("engine: fib(25), runs/s", _engine(FIB, "runs/s"), 60, None, True, most_of("engine", FIB)),
    Target("engine alone, p50 ms", lambda r: float(r["engine"]["alone"]["p50 ms"]), 5.0, 3.0, False, "round trips"),
    Target("projector, events/s", _row("projector", "commits of six, 1", "events/s"), 20_000, None, True, "Python"),
    Target("operator's memory, MB", _memory, 200, None, False, "what is kept of each object"),
    Target("above the floor, beside 10,000 finished / 0", _flat, 1.1, 1.0, False, "the API server, and noise"),
    Target("replay of 1,000 events, ms", _row("replay", "1000 events", "ms"), 20, None, False, "events in Python"),
    Target("replay of 50,000 events, ms", _row("replay", "50000 events", "ms"), 1000, None, False, "events in Python"),
    Target("--help, s CPU", _row("startup", "--help", "least s CPU"), 0.3, None, False, "imports"),
    Target("local hello, s CPU", _row("startup", "local hello", "least s CPU"), 0.8, None, False, "imports, V8, NATS"),
    Target(
        "taken over after kill -9, most s",
        _row("recovery", "from the queue", "most s"),
        10,
        None,
        False,
        "6 s of silence",
    ),
)
