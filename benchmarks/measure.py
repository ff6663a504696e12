"""What the benchmarks share: processor time by process, counters of the servers, quantiles, and where figures go.

All figures of a benchmark are written as JSON to results/NAME.json beside this file, from which
`python -m benchmarks.report` makes the table and the plot.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

_TICKS = os.sysconf("SC_CLK_TCK")
_REQUESTS = re.compile(r"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Figures = dict[str, float]


# --- processor time --------------------------------------------------------------------------------------------------


def own_seconds(pid: int) -> float:
    """User and system seconds of one process, all its threads, without its children."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS


def children_seconds(pid: int) -> float:
    """User and system seconds of everything below a process: what lives, and what has ended and was waited for."""
    fields = _stat(pid)
    dead = (int(fields[13]) + int(fields[14])) / _TICKS
    return dead + sum(own_seconds(child) + children_seconds(child) for child in children(pid))


def children(pid: int) -> list[int]:
    """The living direct children of a process; none of one that has just ended."""
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def child_named(name: str, parent: int | None = None) -> int:
    """The direct child of this (or that) process that runs a program of that name. Raises LookupError."""
    for pid in children(parent or os.getpid()):
        if Path(f"/proc/{pid}/comm").read_text().strip() == name[:15]:
            return pid
    raise LookupError(f"no child process runs {name}")


def resident_megabytes(pid: int) -> float:
    """Proportional set size: shared pages count by their share."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name; zeroes once it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 50


class Meter:
    """Processor seconds of named processes. Of those that have sandboxes the name is given twice: its own, theirs."""

    def __init__(self, processes: Mapping[str, int], with_sandboxes: str = "") -> None:
        self._processes = processes
        self._parent = processes.get(with_sandboxes)

    def read(self) -> Counter[str]:
        """Seconds so far, by name."""
        found = Counter({name: own_seconds(pid) for name, pid in self._processes.items()})
        if self._parent is not None:
            found["sandboxes"] = children_seconds(self._parent)
        return found


# --- counters of the servers -----------------------------------------------------------------------------------------


def nats_traffic(monitor: str) -> Counter[str]:
    """Messages and bytes that NATS has received (in) and sent (out), by its monitoring address."""
    found = fetched(f"{monitor}/varz")
    return Counter({name: int(found[name]) for name in ("in_msgs", "out_msgs", "in_bytes", "out_bytes")})


def stored_messages(monitor: str) -> Counter[str]:
    """Messages that each stream was ever given: each is one write to the disk, and one fsync where all are synced."""
    found: Counter[str] = Counter()
    for account in fetched(f"{monitor}/jsz?streams=true")["account_details"]:
        found.update({stream["name"]: stream["state"]["last_seq"] for stream in account["stream_detail"]})
    return found


def fetched(url: str) -> Any:
    """The JSON at an address, asked without a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as response:
        return json.load(response)


def api_requests(metrics: str, resources: frozenset[str]) -> Counter[str]:
    """Requests that the API server has answered, refused ones too, as "PUT workflowruns/status": those to the
    resources, from the server's metrics. A watch counts when it ends."""
    counts: Counter[str] = Counter()
    for match in _REQUESTS.finditer(metrics):
        labels = dict(_LABEL.findall(match["labels"]))
        if labels.get("resource") in resources:
            subresource = f"/{labels['subresource']}" if labels["subresource"] else ""
            counts[f"{labels['verb']} {labels['resource']}{subresource}"] += int(float(match["count"]))
    return counts


# --- figures ---------------------------------------------------------------------------------------------------------


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest value that `part` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def medians(rounds: Sequence[Figures]) -> Figures:
    """By name, the median over the rounds that have it."""
    names = dict.fromkeys(name for each in rounds for name in each)
    return {name: statistics.median([each[name] for each in rounds if name in each]) for name in names}


def store(name: str, figures: Mapping[str, Any]) -> Path:
    """Write the figures of one benchmark; what an earlier run of it wrote is replaced."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(figures, indent=1) + "\n")
    return file


def show(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print one line of figures for each row, whole figures where they are large."""
    print(f"\n{title}")
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    widths = [max(len(name), 7) for name in columns]
    first = max([22, *(len(label) + 2 for label in rows)])
    print(" " * first + "  ".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True)))
    for label, row in rows.items():
        cells = [shown(row[name]) if name in row else "" for name in columns]
        print(f"{label:<{first}}" + "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))


def shown(value: float) -> str:
    """A figure with about three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
