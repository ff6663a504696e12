"""`python -m dev.dashboard`: write the chart's Grafana dashboard from the list of panels below."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FILE = Path(__file__).parents[1] / "charts" / "workflow-operator" / "files" / "dashboard.json"

WIDTH = 24
"""Grafana's grid."""
HEIGHT = 8

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_HERE = 'namespace="$namespace"'
_RATE = "$__rate_interval"


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and what the legend calls each of its series."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """`unit` is one of Grafana's; `width` is in columns of its grid."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    width: int = 8
    kind: Literal["timeseries", "stat"] = "timeseries"
    stacked: bool = False


def _series(name: str, labels: str = "") -> str:
    return f"workflow_operator_{name}{{{_HERE}{labels}}}"


def _rate(name: str, labels: str = "") -> str:
    return f"rate({_series(name, labels)}[{_RATE}])"


def _sum(expression: str, by: str = "") -> str:
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def _quantiles(histogram: str) -> list[Query]:
    buckets = _sum(_rate(f"{histogram}_bucket"), "le")
    return [Query(f"histogram_quantile({q}, {buckets})", f"{q:.0%}") for q in (0.5, 0.9, 0.99)]


def _rate_by(counter: str, label: str) -> list[Query]:
    return [Query(_sum(_rate(counter), label), f"{{{{{label}}}}}")]


def _container(name: str) -> str:
    return f'{name}{{{_HERE},container=~"operator|projector|executor|nats"}}'


ROWS: dict[str, list[Panel]] = {
    "Now": [
        Panel(
            "Runs",
            "All WorkflowRuns that there are, by phase.",
            "short",
            [Query(_sum(_series("runs"), "phase"), "{{phase}}")],
            width=12,
            kind="stat",
        ),
        Panel(
            "Queue",
            "Instances that wait for an executor, are held by one, or sleep until their time.",
            "short",
            [Query(f"max by (state) ({_series('queue_depth')})", "{{state}}")],
            kind="stat",
            width=6,
        ),
        Panel(
            "Connected to NATS",
            "Replicas of all roles with a connection, and without one.",
            "short",
            [
                Query(f"count({_series('nats_connected')} == 1) or vector(0)", "connected"),
                Query(f"count({_series('nats_connected')} == 0) or vector(0)", "not connected"),
            ],
            width=6,
            kind="stat",
        ),
    ],
    "Runs": [
        Panel(
            "Runs ended",
            "Runs whose end was written into their object, by how they ended.",
            "ops",
            _rate_by("run_duration_seconds_count", "phase"),
        ),
        Panel(
            "Duration of runs",
            "From the start of a run to its end, sleeps included.",
            "s",
            _quantiles("run_duration_seconds"),
        ),
        Panel(
            "Mirror lag",
            "From the last event of a run to the patched object, for what had to be written at once.",
            "s",
            _quantiles("mirror_lag_seconds"),
        ),
    ],
    "Execution": [
        Panel(
            "Waiting and held",
            "Instances that wait for an executor, and those that one holds. If the former only grow, add executors.",
            "short",
            [Query("max by (state) (" + _series("queue_depth", ',state!="scheduled"') + ")", "{{state}}")],
        ),
        Panel(
            "Executor slots",
            "Slots of all replicas, and those in use.",
            "short",
            [
                Query(_sum(_series("executor_slots")), "slots"),
                Query(_sum(_series("executor_slots_used")), "in use"),
            ],
        ),
        Panel(
            "Queue wait",
            "From an instance's entry into the queue until an executor takes it.",
            "s",
            _quantiles("queue_wait_seconds"),
        ),
        Panel(
            "Executions",
            "What became of instances that executors took: a run that sleeps is taken more than once.",
            "ops",
            _rate_by("executions_total", "outcome"),
            stacked=True,
        ),
        Panel(
            "Time in a slot",
            "How long one execution holds its slot.",
            "s",
            _quantiles("execution_duration_seconds"),
        ),
        Panel(
            "Calls of scripts",
            "Host calls done and recorded, and those that a replay answers from the history.",
            "ops",
            [*_rate_by("host_calls_total", "call"), Query(_sum(_rate("replayed_calls_total")), "replayed")],
        ),
    ],
    "Sandbox": [
        Panel(
            "Scripts ended by a limit",
            "By error class. EngineCrash, a sandbox that died, is the only one that no limit explains.",
            "ops",
            _rate_by("sandbox_kills_total", "reason"),
            width=12,
            stacked=True,
        ),
        Panel(
            "Replays",
            "Executions that began with recorded calls: after a sleep, a handover or a crash.",
            "ops",
            [Query(_sum(_rate("replays_total")), "replays")],
            width=12,
        ),
    ],
    "Projection": [
        Panel(
            "Events folded",
            "Events whose status is written, and statuses folded again from the whole history.",
            "ops",
            [
                Query(_sum(_rate("projected_events_total")), "events"),
                Query(_sum(_rate("projection_refolds_total")), "refolds"),
            ],
        ),
        Panel(
            "Events pending",
            "Events that no projector has folded yet.",
            "short",
            [Query(_sum(_series("projection_pending_events")), "pending")],
        ),
        Panel(
            "Projection lag",
            "From the time of an event until its status is written.",
            "s",
            _quantiles("projection_lag_seconds"),
        ),
    ],
    "NATS and API server": [
        Panel(
            "Appends to histories",
            "Stored; refused because another writer was first; repeated because no answer came.",
            "ops",
            _rate_by("history_appends_total", "result"),
        ),
        Panel(
            "Refused by JetStream",
            "Messages that it did not store although the connection was well: it is full, or lacks a stream.",
            "ops",
            [Query(_sum(_rate("nats_refusals_total")), "refusals")],
        ),
        Panel(
            "Reconnects to NATS",
            "Connections that were lost and came back.",
            "ops",
            [Query(_sum(_rate("nats_reconnects_total")), "reconnects")],
        ),
        Panel(
            "Requests to the API server",
            "By status code; 0 is no answer.",
            "reqps",
            _rate_by("api_requests_total", "code"),
            stacked=True,
        ),
        Panel(
            "Stored in NATS",
            "What the streams hold, before compression. Histories stay, so it grows.",
            "bytes",
            [Query(f"max by (stream) ({_series('nats_stored_bytes')})", "{{stream}}")],
            stacked=True,
        ),
        Panel(
            "Writes to the API server",
            "Patches of statuses: at most three for a short run.",
            "reqps",
            [Query(_sum(_rate("api_requests_total", ',verb="patch"'), "resource"), "{{resource}}")],
        ),
        Panel(
            "Objects waiting to be reconciled",
            "For each replica.",
            "short",
            [Query(_series("reconcile_queue_depth"), "{{pod}}")],
        ),
        Panel(
            "Reconcile errors",
            "Reconciliations that failed and are tried again.",
            "ops",
            [Query(_sum(_rate("reconcile_errors_total"), "pod"), "{{pod}}")],
        ),
    ],
    "Resources": [
        Panel(
            "Memory",
            "Working set of each container, its sandboxes included. Needs the kubelet's metrics.",
            "bytes",
            [Query(_sum(_container("container_memory_working_set_bytes"), "pod"), "{{pod}}")],
        ),
        Panel(
            "Processor",
            "Cores that each container uses, its sandboxes included. Needs the kubelet's metrics.",
            "short",
            [Query(_sum(f"rate({_container('container_cpu_usage_seconds_total')}[{_RATE}])", "pod"), "{{pod}}")],
        ),
        Panel(
            "Replicas by release",
            "More than one release for long: an upgrade stands still.",
            "short",
            [Query(f"count by (version) ({_series('build_info')})", "{{version}}")],
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": "workflow-operator",
        "title": "workflow-operator",
        "description": "WorkflowRuns and what executes them. docs/metrics.md tells what to look at first.",
        "tags": ["workflow-operator"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "templating": {"list": [_DATASOURCE, _NAMESPACE]},
        "panels": list(_panels()),
    }


def text() -> str:
    """What FILE holds."""
    return json.dumps(dashboard(), indent=2) + "\n"


_DATASOURCE = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
_NAMESPACE = {
    "name": "namespace",
    "label": "Installation in namespace",
    "type": "query",
    "datasource": _SOURCE,
    "query": {"query": "label_values(workflow_operator_build_info, namespace)", "refId": "namespace"},
    "refresh": 2,
    "sort": 1,
}


def _panels() -> Iterator[dict[str, Any]]:
    """Rows and panels from left to right and down, each with an id of its own."""
    number, top = 0, 0
    for title, panels in ROWS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
        }
        top += 1
        left = 0
        for panel in panels:
            if left + panel.width > WIDTH:
                left, top = 0, top + HEIGHT
            number += 1
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": HEIGHT})
            left += panel.width
        top += HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    instant = panel.kind == "stat"
    custom = {"fillOpacity": 20 if panel.stacked else 0, "stacking": {"mode": "normal" if panel.stacked else "none"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "gridPos": place,
        "datasource": _SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "instant": instant,
                "range": not instant,
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0} | ({} if instant else {"custom": custom})},
        "options": {"graphMode": "none"} if instant else {"tooltip": {"mode": "multi"}},
    }


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
