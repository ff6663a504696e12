"""Prometheus' own promtool judges the rules: when each alert fires, and when it does not."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.observability.rules import ALERTS, EVERY_NAMESPACE, FILE

pytestmark = pytest.mark.integration

MINUTES = 75
"""Minutes of samples in a test: longer than any alert waits."""


@dataclass(frozen=True)
class Case:
    """Series with a value for each minute, and the minute from which the alert fires; None: it never does.

    The values are in promtool's notation: `3x5` is 3 and five times more, `0+2x5` goes from 0 to 10 by 2.
    """

    alert: str
    why: str
    series: dict[str, str]
    fires_from: int | None
    labels: dict[str, str] = field(default_factory=lambda: {"namespace": "a"})


def histogram(name: str, bound: float, slow: int, quick: int, namespace: str = "a") -> dict[str, str]:
    """So many observations a minute above and below a bound."""
    labels = f'namespace="{namespace}"'
    return {
        f'{name}_bucket{{{labels},le="{bound}"}}': f"0+{quick}x{MINUTES}",
        f'{name}_bucket{{{labels},le="300.0"}}': f"0+{quick + slow}x{MINUTES}",
        f'{name}_bucket{{{labels},le="+Inf"}}': f"0+{quick + slow}x{MINUTES}",
    }


def connected(**values: str) -> dict[str, str]:
    """Whether pods are connected to NATS."""
    return {f'workflow_operator_nats_connected{{namespace="a",pod="{pod}"}}': value for pod, value in values.items()}


DEPTH = 'workflow_operator_reconcile_queue_depth{namespace="a"}'
PENDING = 'workflow_operator_projection_pending_events{namespace="a",pod="p"}'
PROJECTED = 'workflow_operator_projected_events_total{namespace="a",pod="p"}'
WAITING = 'workflow_operator_queue_depth{namespace="a",state="waiting"}'
EXECUTIONS = 'workflow_operator_executions_total{namespace="a",outcome="succeeded"}'
UNAVAILABLE = 'workflow_operator_executions_total{namespace="a",outcome="unavailable"}'
SLOTS = 'workflow_operator_executor_slots{namespace="a",pod="p"}'
USED = 'workflow_operator_executor_slots_used{namespace="a",pod="p"}'
OTHER_USED = 'workflow_operator_executor_slots_used{namespace="a",pod="q"}'
OTHER_SLOTS = 'workflow_operator_executor_slots{namespace="a",pod="q"}'
STORED = 'workflow_operator_history_appends_total{namespace="a",result="stored"}'
REPEATED = 'workflow_operator_history_appends_total{namespace="a",result="repeated"}'
REFUSALS = 'workflow_operator_nats_refusals_total{namespace="a",pod="p"}'
CRASHES = 'workflow_operator_sandbox_kills_total{namespace="a",reason="EngineCrash"}'
TIMEOUTS = 'workflow_operator_sandbox_kills_total{namespace="a",reason="Timeout"}'
ERRORS = 'workflow_operator_reconcile_errors_total{namespace="a"}'
API = 'workflow_operator_api_requests_total{namespace="a",verb="get",resource="workflowruns",code="%s"}'
BUILD = 'workflow_operator_build_info{namespace="%s",pod="%s",version="%s"}'
HELD = 'workflow_operator_nats_stored_bytes{namespace="a",pod="%s",stream="%s"}'
WAIT = "workflow_operator_queue_wait_seconds"
FOLD_LAG = "workflow_operator_projection_lag_seconds"
MIRROR_LAG = "workflow_operator_mirror_lag_seconds"

CASES = [
    Case("Absent", "nobody is scraped", {}, 5, {}),
    Case("Absent", "only a projector is", {PENDING: f"0x{MINUTES}"}, 5, {}),
    Case("Absent", "an operator is there", {DEPTH: f"0x{MINUTES}"}, None),
    # A sample counts for five minutes.
    Case("Absent", "it is replaced in four minutes", {DEPTH: f"0x10 _x4 0x{MINUTES}"}, None),
    Case("ProjectorAbsent", "only an operator is scraped", {DEPTH: f"0x{MINUTES}"}, 5, {}),
    Case("ProjectorAbsent", "a projector is there", {PENDING: f"0x{MINUTES}"}, None),
    Case("NatsUnreachable", "no replica is connected", connected(p=f"1x9 0x{MINUTES}", q=f"0x{MINUTES}"), 12),
    Case("NatsUnreachable", "one replica is", connected(p=f"1x{MINUTES}", q=f"0x{MINUTES}"), None),
    Case("NatsUnreachable", "all are back within a minute", connected(p=f"1x9 0 1x{MINUTES}"), None),
    Case("NatsPartlyUnreachable", "one of two is not connected", connected(p=f"1x{MINUTES}", q=f"0x{MINUTES}"), 5),
    Case("NatsPartlyUnreachable", "none is connected", connected(p=f"0x{MINUTES}", q=f"0x{MINUTES}"), None),
    Case("NatsPartlyUnreachable", "all are", connected(p=f"1x{MINUTES}", q=f"1x{MINUTES}"), None),
    Case(
        "NatsFillingUp",
        "two streams hold more than 80 % together",
        {HELD % ("p", "HISTORY"): f"5e9x19 7.5e9x{MINUTES}", HELD % ("p", "STATUS"): f"1e8x{MINUTES}"},
        30,
    ),
    Case(
        "NatsFillingUp",
        "two operators tell of the same bytes",
        {HELD % (pod, "HISTORY"): f"7e9x{MINUTES}" for pod in "pq"},
        None,
    ),
    Case("QueueStuck", "runs wait, none is executed", {WAITING: f"0x9 4x{MINUTES}", EXECUTIONS: f"7x{MINUTES}"}, 20),
    Case("QueueStuck", "runs are taken, and given back", {WAITING: f"4x{MINUTES}", UNAVAILABLE: f"0+9x{MINUTES}"}, 10),
    Case("QueueStuck", "no executor is scraped any more", {WAITING: f"4x{MINUTES}"}, 10),
    Case(
        "QueueStuck",
        "many wait, and some are executed",
        {WAITING: f"900x{MINUTES}", EXECUTIONS: f"0+1x{MINUTES}"},
        None,
    ),
    Case("QueueStuck", "nothing waits", {WAITING: f"0x{MINUTES}", EXECUTIONS: f"7x{MINUTES}"}, None),
    Case(
        "HistoryNotWritten",
        "runs are held, and appends get no answer",
        {USED: f"3x{MINUTES}", STORED: f"0+9x20 180x{MINUTES}", REPEATED: f"0x20 0+60x{MINUTES}"},
        29,
    ),
    Case("HistoryNotWritten", "runs are held and recorded", {USED: f"3x{MINUTES}", STORED: f"0+1x{MINUTES}"}, None),
    Case("HistoryNotWritten", "nothing is held", {USED: f"0x{MINUTES}", STORED: f"8x{MINUTES}"}, None),
    Case("StorageRefused", "JetStream is full from minute 20 on", {REFUSALS: f"0x20 60+60x{MINUTES}"}, 24),
    Case("StorageRefused", "a leader changed", {REFUSALS: f"0x20 3x{MINUTES}"}, None),
    Case("QueueWaitHigh", "one in five waits over 30 s", histogram(WAIT, 30.0, slow=2, quick=8), 11),
    Case("QueueWaitHigh", "one in twenty does", histogram(WAIT, 30.0, slow=1, quick=19), None),
    Case("QueueWaitHigh", "nothing is queued", histogram(WAIT, 30.0, slow=0, quick=0), None),
    Case(
        "ExecutorsSaturated",
        "every slot of two replicas is busy, and runs wait",
        {
            SLOTS: f"16x{MINUTES}",
            USED: f"16x{MINUTES}",
            OTHER_SLOTS: f"16x{MINUTES}",
            OTHER_USED: f"16x{MINUTES}",
            WAITING: f"5x{MINUTES}",
        },
        15,
    ),
    Case(
        "ExecutorsSaturated",
        "one of two replicas is full",
        {
            SLOTS: f"16x{MINUTES}",
            USED: f"16x{MINUTES}",
            OTHER_SLOTS: f"16x{MINUTES}",
            OTHER_USED: f"9x{MINUTES}",
            WAITING: f"5x{MINUTES}",
        },
        None,
    ),
    Case(
        "ExecutorsSaturated",
        "none waits",
        {SLOTS: f"16x{MINUTES}", USED: f"16x{MINUTES}", WAITING: f"0x{MINUTES}"},
        None,
    ),
    Case("SandboxCrashes", "one crash a minute", {CRASHES: f"0+1x{MINUTES}"}, 16),
    Case("SandboxCrashes", "two runs that kill five each", {CRASHES: f"0x9 5x1 10x{MINUTES}"}, None),
    Case("SandboxCrashes", "scripts run into a limit", {CRASHES: f"0x{MINUTES}", TIMEOUTS: f"0+9x{MINUTES}"}, None),
    Case(
        "ProjectionStuck",
        "events are pending, none is folded",
        {PENDING: f"9x{MINUTES}", PROJECTED: f"5x{MINUTES}"},
        10,
    ),
    Case("ProjectionStuck", "they are folded", {PENDING: f"9x{MINUTES}", PROJECTED: f"0+5x{MINUTES}"}, None),
    Case("ProjectionStuck", "nothing is pending", {PENDING: f"0x{MINUTES}", PROJECTED: f"5x{MINUTES}"}, None),
    Case("ProjectionLagHigh", "one in five lags over 10 s", histogram(FOLD_LAG, 10.0, slow=2, quick=8), 11),
    Case("ProjectionLagHigh", "one in twenty does", histogram(FOLD_LAG, 10.0, slow=1, quick=19), None),
    Case("MirrorLagHigh", "one in five lags over 10 s", histogram(MIRROR_LAG, 10.0, slow=2, quick=8), 11),
    Case("MirrorLagHigh", "one in twenty does", histogram(MIRROR_LAG, 10.0, slow=1, quick=19), None),
    # In back-off an object is tried once a minute.
    Case("ReconcileErrors", "one object fails for good", {ERRORS: f"0+1x{MINUTES}"}, 36),
    Case("ReconcileErrors", "a burst of errors passes", {ERRORS: f"0x9 40x{MINUTES}"}, None),
    Case("ApiErrors", "one in ten is refused", {API % 200: f"0+9x{MINUTES}", API % 403: f"0+1x{MINUTES}"}, 16),
    Case("ApiErrors", "one in ten gets no answer", {API % 200: f"0+9x{MINUTES}", API % 0: f"0+1x{MINUTES}"}, 16),
    Case(
        "ApiErrors",
        "missing and changed objects are usual",
        {API % 404: f"0+9x{MINUTES}", API % 409: f"0+9x{MINUTES}"},
        None,
    ),
    Case("ApiErrors", "one in fifty fails", {API % 200: f"0+49x{MINUTES}", API % 500: f"0+1x{MINUTES}"}, None),
    Case(
        "VersionsMixed",
        "an upgrade stands still",
        {BUILD % ("a", "p", "1.0.0"): f"1x{MINUTES}", BUILD % ("a", "q", "1.1.0"): f"1x{MINUTES}"},
        60,
    ),
    Case(
        "VersionsMixed",
        "an upgrade takes 20 minutes",
        {BUILD % ("a", "p", "1.0.0"): f"1x20 _x{MINUTES}", BUILD % ("a", "q", "1.1.0"): f"_x5 1x{MINUTES}"},
        None,
    ),
    Case(
        "VersionsMixed",
        "another installation has another release",
        {BUILD % ("a", "p", "1.0.0"): f"1x{MINUTES}", BUILD % ("b", "q", "1.1.0"): f"1x{MINUTES}"},
        None,
    ),
]


def firing(alert: str) -> str:
    return f'ALERTS{{alertname="{alert}",alertstate="firing"}}'


def expectation(alert: str, minute: int, labels: dict[str, str] | None) -> dict[str, object]:
    """That the alert fires then, with these labels besides its severity; None: not at all."""
    severity = ALERTS[alert]["labels"]["severity"]
    shown = {"alertname": alert, "alertstate": "firing", "severity": severity, **(labels or {})}
    series = ",".join(f'{name}="{value}"' for name, value in sorted(shown.items()))
    samples = [] if labels is None else [{"labels": f"ALERTS{{{series}}}", "value": 1}]
    return {"expr": firing(alert), "eval_time": f"{minute}m", "exp_samples": samples}


def never(alert: str) -> dict[str, object]:
    """That the alert has fired at no time."""
    return {"expr": f"count_over_time({firing(alert)}[{MINUTES}m])", "eval_time": f"{MINUTES}m", "exp_samples": []}


def promtool_test(program: Path, rules: Path, test: dict[str, object]) -> str:
    """What `promtool test rules` has against it; empty if nothing."""
    file = rules.with_suffix(".test.yaml")
    document = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [{"interval": "1m", **test}]}
    file.write_text(yaml.safe_dump(document))
    done = subprocess.run([program, "test", "rules", file], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.why}")
def test_an_alert_fires_when_it_should(case: Case, promtool_program: Path, tmp_path: Path) -> None:
    name = f"WorkflowOperator{case.alert}"
    rules = tmp_path / "alerts.yaml"
    # This one alone: the others would be evaluated at every minute as well.
    rules.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [ALERTS[name]]}]}))
    if case.fires_from is None:
        expected = [never(name)]
    else:
        expected = [expectation(name, case.fires_from - 1, None), expectation(name, case.fires_from, case.labels)]
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    test = {"input_series": series, "promql_expr_test": expected}
    assert promtool_test(promtool_program, rules, test) == ""


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    for fires in (True, False):
        covered = {f"WorkflowOperator{case.alert}" for case in CASES if (case.fires_from is not None) is fires}
        assert covered == set(ALERTS)


@pytest.mark.parametrize(("labels", "words"), [({}, ""), ({"namespace": "flows"}, " in namespace flows")])
def test_an_absence_names_the_namespace_where_it_is_known(
    labels: dict[str, str], words: str, promtool_program: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "alerts.yaml"
    rules.write_text(FILE.read_text().replace(EVERY_NAMESPACE, 'namespace="flows"') if labels else FILE.read_text())
    name = "WorkflowOperatorAbsent"
    annotations = ALERTS[name]["annotations"] | {"summary": f"No operator is running{words}"}
    alert = {"exp_labels": {"severity": "critical", **labels}, "exp_annotations": annotations}
    test = {"alert_rule_test": [{"eval_time": "5m", "alertname": name, "exp_alerts": [alert]}]}
    assert promtool_test(promtool_program, rules, test) == ""


def test_promtool_has_nothing_against_the_file(promtool_program: Path) -> None:
    command = [promtool_program, "check", "rules", "--lint=all", "--lint-fatal", FILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout
