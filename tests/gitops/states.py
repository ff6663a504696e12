"""WorkflowRuns in every state that GitOps tools see, with the statuses that the operator computes.

`python -m tests.gitops.states` writes them where Argo CD's tests of health checks look for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.events import EPOCH, KEY, at, by, call, history
from workflow_operator.history import ErrorInfo, EventType, InstanceStatus, fold
from workflow_operator.reconcile.script import script_in
from workflow_operator.reconcile.showing.desired import HISTORY_LOST, Problem, desired_status
from workflow_operator.reconcile.showing.outage import nats_problem
from workflow_operator.resources.names import API_VERSION
from workflow_operator.resources.run import MAX_SCRIPT_CHARS, UNSEEN, ConfigMapKey, WorkflowRun
from workflow_operator.resources.schema import to_wire

JsonObject = dict[str, Any]
Step = EventType | tuple[EventType, JsonObject]

PROJECT = Path(__file__).parents[2]
ARGOCD = PROJECT / "gitops" / "argocd" / "resource_customizations" / "workflow-operator.dev" / "WorkflowRun"
TESTDATA = ARGOCD / "testdata"

SCRIPT = 'function main() { return transition(greet, {}); } function greet() { sleep(60); return "hello"; }'
INLINE = {"script": SCRIPT}
FROM_CONFIG_MAP = {"scriptFrom": {"configMapKeyRef": {"name": "scripts", "key": "greet.js"}}}

_STARTED: Step = (EventType.STARTED, {"script": SCRIPT, "input": None, "metadata": {}})
_CLAIMED: Step = (EventType.CLAIMED, by("operator-1"))
_STEP: Step = (EventType.TRANSITION, {"call": call("0.0", "transition"), "function": "greet", "memory": {}})
_WAITING: Step = (EventType.WAITING, {"wake_at": at(60)})
_CANCEL: Step = (EventType.CANCEL_REQUESTED, {"reason": "the WorkflowRun was deleted"})
_CANCELLED: Step = (EventType.CANCELLED, {"reason": "the WorkflowRun was deleted"})
_FAILED: Step = (
    EventType.FAILED,
    {"error": ErrorInfo(name="RangeError", message="3 wanted, 1 in stock", line=7, column=11)},
)


def states() -> dict[str, JsonObject]:
    """Every object, by the name of its state."""
    complete = run(instance=folded(_STARTED, _CLAIMED, _STEP, (EventType.SUCCEEDED, {"output": "hello"})))
    executing = run(instance=folded(_STARTED, _CLAIMED, _STEP))
    return {
        "no-status": {field: value for field, value in unseen().items() if field != "status"},
        "unseen": unseen(),
        "starting": run(),
        "waiting-for-config-map": run(FROM_CONFIG_MAP, problem=script_problem(None)),
        "invalid-script": run(FROM_CONFIG_MAP, problem=script_problem("x" * (MAX_SCRIPT_CHARS + 1))),
        "nats-unavailable": run(problem=nats_problem("NATS at nats:4222 does not answer", refused=False)),
        "queued": run(instance=folded(_STARTED)),
        "executing": executing,
        "sleeping": run(instance=folded(_STARTED, _CLAIMED, _STEP, _WAITING)),
        "history-lost": run(before=executing["status"], problem=HISTORY_LOST),
        "cancelling": run(instance=folded(_STARTED, _CLAIMED, _STEP, _CANCEL)),
        "cancelled": run(instance=folded(_STARTED, _CLAIMED, _STEP, _CANCEL, _CANCELLED)),
        "complete": complete,
        "failed": run(instance=folded(_STARTED, _CLAIMED, _STEP, _FAILED)),
        "executing-deleted": deleted(executing),
        "complete-deleted": deleted(complete),
    }


def unseen(spec: JsonObject = INLINE) -> JsonObject:
    """An object as the API server returns it right after its creation."""
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkflowRun",
        "metadata": {
            "name": "greet",
            "namespace": KEY.namespace,
            "uid": str(KEY.instance_id),
            "generation": 1,
            "resourceVersion": "1234",
            "creationTimestamp": _wire(EPOCH),
        },
        "spec": spec,
        "status": dict(UNSEEN),
    }


def run(
    spec: JsonObject = INLINE,
    *,
    before: JsonObject | None = None,
    instance: InstanceStatus | None = None,
    problem: Problem | None = None,
) -> JsonObject:
    """An object with the status that the operator writes for an instance or a problem."""
    found = unseen(spec) | ({"status": before} if before else {})
    status = desired_status(WorkflowRun.model_validate(found), instance, problem, at(20))
    return found | {"status": to_wire(status)}


def deleted(found: JsonObject) -> JsonObject:
    """The object once it is deleted while Argo CD's finalizer for hooks holds it: its generation rises."""
    held = {"deletionTimestamp": _wire(at(30)), "generation": 2, "finalizers": ["argocd.argoproj.io/hook-finalizer"]}
    return found | {"metadata": found["metadata"] | held}


def folded(*steps: Step) -> InstanceStatus:
    status = reduce(fold, history(*steps), None)
    assert status is not None
    return status


def script_problem(script: str | None) -> Problem:
    """What hinders a run whose ConfigMap does not exist, or holds this script."""
    config_map = None if script is None else {"data": {"greet.js": script}}
    found = script_in(config_map, KEY.namespace, ConfigMapKey(name="scripts", key="greet.js"))
    assert isinstance(found, Problem)
    return found


def files(found: Iterable[tuple[str, JsonObject]]) -> dict[Path, str]:
    """What the files of test data hold."""
    return {TESTDATA / f"{name}.yaml": yaml.safe_dump(each, sort_keys=False, width=1000) for name, each in found}


def _wire(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


if __name__ == "__main__":
    for path, text in files(states().items()).items():
        path.write_text(text)
