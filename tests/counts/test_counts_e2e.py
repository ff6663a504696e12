"""What a run costs, counted: messages, requests, stores, decodes, turns of a sandbox.

Times depend on the machine and are in benchmarks/; counts do not, and whoever makes one grow is told here. The bounds
are a little above what was counted when they were set, for a run each; lower them when a count falls.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.cluster import NAMESPACE, RUNS, Installation, installation
from benchmarks.measure import Figures, stored_messages
from benchmarks.scripts import FIFTY, FIVE, ONE
from dev.control_plane import ControlPlane
from tests.counts import counted

pytestmark = pytest.mark.e2e

COUNT = 24
AT_ONCE = 2
ROUNDS = 4
IDLE_SECONDS = 15.0


KINDS = (ONE, FIVE, FIFTY)
BOUNDS: dict[str, tuple[float, float, float]] = {
    "NATS: in_msgs": (3.5, 3.6, 4),
    "NATS: out_msgs": (4.6, 4.8, 5.5),
    "NATS: stored in HISTORY": (1.3, 1.3, 1.5),
    "NATS: stored in PROJECTION": (1.3, 1.3, 1.5),
    "NATS: stored in STATUS": (1.3, 1.3, 1.5),
    "NATS: stored in QUEUE": (0.2, 0.2, 0.2),
    # Each member says every two seconds that it lives.
    "NATS: stored in KV_members": (0.3, 0.3, 0.3),
    "operator: appends": (1.3, 1.3, 1.5),
    "operator: events decoded": (0.2, 0.2, 0.2),
    "operator: histories read": (0.2, 0.2, 0.2),
    "operator: status reads": (0.2, 0.2, 0.2),
    "operator: statuses decoded": (1.3, 1.3, 1.5),
    "operator: frames to sandboxes": (1.1, 1.1, 1.1),
    "operator: frames from sandboxes": (1.1, 6.1, 51.1),
    "operator: waits for sandboxes": (1.5, 1.5, 2.5),
    "operator: sandbox processes": (0.2, 0.2, 0.2),
    "projector: events decoded": (2.1, 7.1, 52.1),
    "projector: status reads": (0.2, 0.2, 0.2),
    "projector: statuses written": (1.3, 1.3, 1.5),
    # The test's own.
    "API server: POST workflowruns": (1, 1, 1),
    "API server: PUT workflowruns/status": (1.1, 1.1, 1.1),
}
"""By what is counted, for a run of each kind. What is not here must not be."""

COUNTED_ALWAYS = (
    "NATS: stored in HISTORY",
    "operator: appends",
    "operator: statuses decoded",
    "operator: frames to sandboxes",
    "operator: frames from sandboxes",
    "projector: events decoded",
    "projector: statuses written",
    "API server: PUT workflowruns/status",
)
"""One for each run at least, unless nothing is counted any more."""

IDLE_BOUNDS = {"in_msgs": 450.0, "out_msgs": 520.0}
"""Messages to and from NATS within a minute without a run."""


@dataclass(frozen=True)
class Measured:
    """What a run took of each kind, and what a minute without runs took."""

    runs: dict[str, Figures]
    idle: Figures


@pytest.fixture(scope="module")
def measured(workflowrun_api: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    workflowrun_api.kubectl("create", "namespace", NAMESPACE)
    folder = tmp_path_factory.mktemp("counts")
    command = (sys.executable, "-P", counted.__file__, str(folder))
    with installation(workflowrun_api, tmp_path_factory.mktemp("stack"), command=command) as made:
        idle = made.idle(IDLE_SECONDS)
        yield Measured({kind: least(made, kind, folder, idle) for kind in KINDS}, idle)
    workflowrun_api.kubectl("delete", "--raw", RUNS)


def least(made: Installation, kind: str, folder: Path, idle: Figures) -> Figures:
    """The counts of a run of that kind: of several rounds the least, by what is counted.

    On a busy machine a run takes longer than the 250 ms for which its events are gathered, and so has a commit more.
    """
    rounds = [one_of(made, kind, folder, idle) for _ in range(ROUNDS)]
    return {name: min(each.get(name, 0.0) for each in rounds) for name in set().union(*rounds)}


def one_of(made: Installation, kind: str, folder: Path, idle: Figures) -> Figures:
    """The counts of a run of that kind."""
    calls, stored = counted.counts(folder), stored_messages(made.monitor)
    figures = made.load(kind, COUNT, AT_ONCE)
    calls = Counter({name: value - calls[name] for name, value in counted.counts(folder).items()})
    stored = stored_messages(made.monitor) - stored
    # Members say that they live, and so on: also where nobody runs anything.
    idle_messages = {name: idle[name] * figures["seconds"] / 60 / COUNT for name in ("in_msgs", "out_msgs")}
    found = {f"NATS: {name}": figures[name] - less for name, less in idle_messages.items()}
    found |= {f"NATS: stored in {name}": value / COUNT for name, value in stored.items()}
    found |= {name: value / COUNT for name, value in calls.items() if value}
    return found | {f"API server: {name[4:]}": value for name, value in figures.items() if name.startswith("api ")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_costs_no_more_than_it_did(measured: Measured, kind: str) -> None:
    bounds = {name: bound[KINDS.index(kind)] for name, bound in BOUNDS.items()}
    assert above(measured.runs[kind], bounds) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_bounded_is_counted(measured: Measured, kind: str) -> None:
    assert [name for name in COUNTED_ALWAYS if measured.runs[kind].get(name, 0) < 0.5] == []


def test_nothing_to_do_costs_no_more_than_it_did(measured: Measured) -> None:
    assert above({name: measured.idle[name] for name in IDLE_BOUNDS}, IDLE_BOUNDS) == {}


def above(figures: Figures, bounds: Figures) -> dict[str, tuple[float, float]]:
    """What is above its bound, and what has none: the figure and its bound."""
    found = {name: (round(value, 2), bounds.get(name, 0.0)) for name, value in figures.items()}
    return {name: (value, bound) for name, (value, bound) in found.items() if value > bound}
