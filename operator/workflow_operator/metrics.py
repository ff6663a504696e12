"""Every metric of every role, once: its name, its meaning, and which role has it.

A label takes few values, all known beforehand: never a namespace, a run's name or anything else that a user chose.
Where they can be listed they are shown from the start, at zero, so that a first increase is seen as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics import exposition as openmetrics

T = TypeVar("T", bound=MetricWrapperBase)

# Otherwise each series has a second one that says since when it exists.
disable_created_metrics()  # type: ignore[no-untyped-call]

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_OPEN_METRICS: Final = "application/openmetrics-text"


class Role(StrEnum):
    """What a process is started as."""

    OPERATOR = "operator"
    EXECUTOR = "executor"
    PROJECTOR = "projector"


_OPERATOR: Final = (Role.OPERATOR,)
_EXECUTING: Final = (Role.OPERATOR, Role.EXECUTOR)
_PROJECTOR: Final = (Role.PROJECTOR,)
_EVERY: Final = tuple(Role)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as the reference lists it. ``labels`` are all its labels, with their values where they are few."""

    name: str
    kind: str
    meaning: str
    roles: Sequence[Role]
    labels: dict[str, Sequence[str]]
    collector: MetricWrapperBase


ALL: list[Metric] = []
"""Every metric of our own, in the order of the reference."""


def _counter(name: str, meaning: str, roles: Sequence[Role], **labels: Sequence[str]) -> Counter:
    return _known(Counter(name, meaning, tuple(labels), registry=None), name, meaning, roles, labels)


def _gauge(name: str, meaning: str, roles: Sequence[Role], **labels: Sequence[str]) -> Gauge:
    return _known(Gauge(name, meaning, tuple(labels), registry=None), name, meaning, roles, labels)


def _histogram(
    name: str, meaning: str, roles: Sequence[Role], buckets: Sequence[float], **labels: Sequence[str]
) -> Histogram:
    histogram = Histogram(name, meaning, tuple(labels), registry=None, buckets=buckets)
    return _known(histogram, name, meaning, roles, labels)


def _known(collector: T, name: str, meaning: str, roles: Sequence[Role], labels: dict[str, Sequence[str]]) -> T:
    ALL.append(Metric(name, type(collector).__name__.lower(), meaning, roles, labels, collector))
    for value in next(iter(labels.values())) if len(labels) == 1 else ():
        collector.labels(value)
    return collector


_QUICK: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
# From a script that ends at once to one that sleeps for days.
_RUNS: Final = (
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    1800.0,
    7200.0,
    28800.0,
    86400.0,
    604800.0,
)
_FINAL: Final = ("Complete", "Failed", "Cancelled")

RUNS = _gauge(
    "workflow_operator_runs",
    "Runs in this replica's share, by phase; add up the replicas.",
    _OPERATOR,
    phase=("Pending", "Running", *_FINAL),
)
RUN_DURATION = _histogram(
    "workflow_operator_run_duration_seconds",
    "From the start of a run to its end, sleeps included; observed by the replica that mirrors the end.",
    _OPERATOR,
    _RUNS,
    phase=_FINAL,
)
MIRROR_LAG = _histogram(
    "workflow_operator_mirror_lag_seconds",
    "From the last event in a status to the object that shows it, for what had to be written at once.",
    _OPERATOR,
    _QUICK,
)
RECONCILE_QUEUE_DEPTH = _gauge(
    "workflow_operator_reconcile_queue_depth", "Objects that wait to be reconciled by this replica.", _OPERATOR
)
RECONCILE_ERRORS = _counter(
    "workflow_operator_reconcile_errors_total", "Reconciliations that failed and are tried again.", _OPERATOR
)
API_REQUESTS = _counter(
    "workflow_operator_api_requests_total",
    "Requests to the API server, by its answer's status code; code 0: no answer.",
    _OPERATOR,
    verb=(),
    resource=(),
    code=(),
)

EXECUTIONS = _counter(
    "workflow_operator_executions_total",
    "Times that an instance was taken and let go of, by what became of it. Returned: given back as it "
    "was, at a shutdown or to a newer release; nothing: it had ended already.",
    _EXECUTING,
    outcome=(
        "succeeded",
        "failed",
        "cancelled",
        "parked",
        "overtaken",
        "crashed",
        "unavailable",
        "returned",
        "nothing",
    ),
)
EXECUTION_DURATION = _histogram(
    "workflow_operator_execution_duration_seconds", "Time of an instance in a slot.", _EXECUTING, _QUICK
)
QUEUE_WAIT = _histogram(
    "workflow_operator_queue_wait_seconds",
    "From an instance's entry into the queue until an executor took it for the first time. What is executed where it "
    "starts was never there.",
    _EXECUTING,
    _QUICK,
)
EXECUTOR_SLOTS = _gauge("workflow_operator_executor_slots", "Runs that this replica executes at most.", _EXECUTING)
EXECUTOR_SLOTS_USED = _gauge(
    "workflow_operator_executor_slots_used", "Runs that this replica executes now.", _EXECUTING
)
REPLAYS = _counter(
    "workflow_operator_replays_total", "Executions that began with recorded calls to be repeated.", _EXECUTING
)
REPLAYED_CALLS = _counter("workflow_operator_replayed_calls_total", "Host calls answered from the history.", _EXECUTING)
HOST_CALLS = _counter(
    "workflow_operator_host_calls_total",
    "Host calls that are new to the history, and so are done.",
    _EXECUTING,
    call=(
        "transition",
        "sleep",
        "finish",
        "fetchSync",
        "step.do",
        "step.sleep",
        "step.sleepUntil",
        "step.waitForEvent",
        "fetch",
    ),
)
SANDBOX_KILLS = _counter(
    "workflow_operator_sandbox_kills_total",
    "Scripts that a limit, or a crash of their sandbox, ended; by error class. What a script throws is not among them.",
    _EXECUTING,
    reason=(
        "Timeout",
        "CpuLimit",
        "MemoryLimit",
        "HostLimit",
        "EngineCrash",
        "HistoryLimit",
        "PayloadTooLarge",
        "Deadlock",
        "NonDeterminism",
        "NotSerializable",
    ),
)
QUEUE_DEPTH = _gauge(
    "workflow_operator_queue_depth",
    "Instances in the work queue of all replicas: waiting for an executor, held by one, or scheduled for later; what "
    "is executed where it started counts in executor_slots_used alone. Every replica says the same; take the maximum.",
    _EXECUTING,
    state=("waiting", "held", "scheduled"),
)

PROJECTED_EVENTS = _counter("workflow_operator_projected_events_total", "Events whose status is written.", _PROJECTOR)
PROJECTION_LAG = _histogram(
    "workflow_operator_projection_lag_seconds",
    "From the time of the last event in a status until that status is written.",
    _PROJECTOR,
    _QUICK,
)
PROJECTION_PENDING = _gauge(
    "workflow_operator_projection_pending_events",
    "Messages, of one or more events each, in this replica's partitions that are not folded yet; add up the replicas.",
    _PROJECTOR,
)
PROJECTION_REFOLDS = _counter(
    "workflow_operator_projection_refolds_total",
    "Statuses folded again from the whole history, because an event in between was missing.",
    _PROJECTOR,
)

TRACES = _counter(
    "workflow_operator_traces_total",
    "Traces of ended runs, by what became of them; none while traces are off.",
    _OPERATOR,
    result=("exported", "dropped"),
)

NATS_CONNECTED = _gauge("workflow_operator_nats_connected", "1 while connected to NATS, else 0.", _EVERY)
NATS_STORED = _gauge(
    "workflow_operator_nats_stored_bytes",
    "What each stream holds, as JetStream counts it against its limit: messages before compression, of one copy. Every "
    "operator says the same; take the maximum.",
    _OPERATOR,
    stream=("HISTORY", "STATUS", "PROJECTION", "EXECUTION", "KV_members"),
)
NATS_RECONNECTS = _counter("workflow_operator_nats_reconnects_total", "Connections to NATS that came back.", _EVERY)
STORAGE_REFUSALS = _counter(
    "workflow_operator_nats_refusals_total",
    "Messages that JetStream refused to store although the connection was well: it is full, read-only, or lacks a "
    "stream.",
    _EVERY,
)
HISTORY_APPENDS = _counter(
    "workflow_operator_history_appends_total",
    "Attempts to append an event: stored; refused because someone else appended first; or repeated later, for want of "
    "an answer.",
    _EVERY,
    result=("stored", "conflict", "repeated"),
)
BUILD = _known(
    Info("workflow_operator_build", "The running release.", registry=None),
    "workflow_operator_build_info",
    "1, with the running release as label.",
    _EVERY,
    {"version": ()},
)


def registry(role: Role) -> CollectorRegistry:
    """The metrics of a role, and those of its process."""
    from importlib.metadata import version

    BUILD.info({"version": version("workflow-operator")})
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    GCCollector(registry=made)
    for metric in ALL:
        if role in metric.roles:
            made.register(metric.collector)
    return made


def exposition(shown: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The metrics as text, and its content type: OpenMetrics for who accepts that, else Prometheus' own format."""
    if _OPEN_METRICS in accept:
        body: bytes = openmetrics.generate_latest(shown)  # type: ignore[no-untyped-call]
        return body, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(shown), _TEXT
