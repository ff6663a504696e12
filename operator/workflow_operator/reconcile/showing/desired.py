"""The whole status of a run, computed from the object and its instance. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from workflow_operator.history import ErrorInfo, InstanceKey, InstanceStatus, Json, StatusValue
from workflow_operator.history.errors import InvalidInput
from workflow_operator.reconcile.showing.waiting import counts, waits
from workflow_operator.resources.conditions import set_conditions
from workflow_operator.resources.run import (
    Condition,
    ConditionStatus,
    ConditionType,
    ObservedRun,
    Phase,
    RunError,
    RunStatus,
)

# Two values of this size, an error message and the conditions stay below 32 KiB together.
MAX_VALUE_BYTES = 12 * 1024

_PHASES = {
    StatusValue.COMPLETE: Phase.COMPLETE,
    StatusValue.FAILED: Phase.FAILED,
    StatusValue.CANCELLED: Phase.CANCELLED,
}
_MAX_INT32 = 2**31 - 1
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a run does not start, or go on.

    ``stalled``: somebody has to mend something that is there but wrong. ``failed``: nobody can mend it, as what a run
    was created with cannot be changed; the run is over.
    """

    reason: str
    message: str
    stalled: bool = False
    failed: bool = False


# What a run that goes its way is busy with; any other reason of Reconciling hinders it.
_ACTIVITIES = frozenset(
    {"Starting", "Queued", "Executing", "Sleeping", "WaitingForEvent", "RetryBackoff", "Cancelling", "Suspended"}
)
# Of a name in a message.
_MOST_NAME = 128

HISTORY_LOST = Problem(
    "HistoryLost",
    "the run had started, but NATS holds no history of it. It is not run again: restore the stream HISTORY from a "
    "backup, or create a new run",
    stalled=True,
)

NO_INSTANCE = Problem(
    "ForeignInstance",
    "status.instanceID is not an instance ID. Nothing is run: restore the status from a backup, or create a new run",
    stalled=True,
)


def foreign_instance(instance: InstanceKey) -> Problem:
    """The status of an object names an instance that was started for another one."""
    return Problem(
        "ForeignInstance",
        f"status.instanceID names {instance.instance_id}, which was not started for a run of this name. Nothing is "
        "run: restore the object under its own name, or create a new run",
        stalled=True,
    )


def desired_status(
    run: ObservedRun, instance: InstanceStatus | None, problem: Problem | None, now: datetime
) -> RunStatus:
    """What the object's status should be now.

    Args:
        run: the object.
        instance: the status of its instance; None before it started.
        problem: what hinders it.
        now: for conditions that change.
    """
    wanted = _without_instance(problem) if instance is None else _with_instance(instance, problem)
    settled = _settled(run, wanted, now)
    if instance is None and run.status.instance_id is not None:
        # What was shown stays: the API server holds it to be final, and nobody knows better.
        return run.status.model_copy(update={"conditions": settled})
    status = RunStatus(
        observed_generation=run.metadata.generation,
        phase=Phase.PENDING,
        conditions=settled,
        # What can be set once, or must not fall, stays whoever has set it: no write that differs lands.
        start_time=run.status.start_time,
        completion_time=run.status.completion_time,
        history_sequence=run.status.history_sequence,
    )
    if instance is not None:
        return status.model_copy(update=_mirrored(instance, run.status))
    if problem is not None and problem.failed:
        return status.model_copy(update=_never_begun(problem, run.status, now))
    return status


def ended_by_hand(run: ObservedRun, now: datetime) -> RunStatus:
    """The status of an object whose phase somebody has set to a final one, with all that belongs to an end."""
    phase = run.status.phase
    message = f"somebody other than the operator set status.phase to {phase}; the run's instance was cancelled"
    kinds = [ConditionType.FINISHED]
    if phase is Phase.COMPLETE:
        kinds = [ConditionType.COMPLETE, ConditionType.FINISHED]
    elif phase is Phase.FAILED:
        kinds = [ConditionType.FAILED, ConditionType.STALLED, ConditionType.FINISHED]
    ended = run.status.completion_time or now.replace(microsecond=0)
    settled = _settled(run, [(kind, "SetByHand", message) for kind in kinds], now)
    return run.status.model_copy(update={"conditions": settled, "completion_time": ended})


def _settled(run: ObservedRun, wanted: list[tuple[ConditionType, str, str]], now: datetime) -> tuple[Condition, ...]:
    conditions = [
        Condition(
            type=kind,
            status=ConditionStatus.TRUE,
            observed_generation=run.metadata.generation,
            last_transition_time=now.replace(microsecond=0),
            reason=reason,
            message=message,
        )
        for kind, reason, message in wanted
    ]
    return set_conditions(run.status.conditions, conditions)


def hindrances(status: RunStatus) -> tuple[Condition, ...]:
    """The conditions that tell what keeps a run from starting, or from going on."""
    return tuple(
        condition
        for condition in status.conditions
        if condition.status is ConditionStatus.TRUE
        and (
            condition.type == ConditionType.STALLED
            or (condition.type == ConditionType.RECONCILING and condition.reason not in _ACTIVITIES)
        )
    )


def slim(instance: InstanceStatus) -> InstanceStatus:
    """What of an instance's status an object's status is made of: thousands of them are kept."""
    where = str(instance.key)
    return instance.replace(
        script=None,
        input=None,
        metadata={},
        memory=bounded(instance.memory, f"{where} --memory"),
        output=bounded(instance.output, where),
    )


def phase_of(instance: InstanceStatus) -> Phase:
    """Running once an executor has recorded anything."""
    if instance.terminal:
        return _PHASES[instance.status]
    return Phase.PENDING if instance.executor is None else Phase.RUNNING


def phase_and_reason(instance: InstanceStatus) -> tuple[Phase, str, str]:
    """Phase, reason and message of an instance, as its object shows them."""
    _, reason, message = _with_instance(instance)[0]
    return phase_of(instance), reason, message


def bounded(value: Json | None, where: str) -> Json | None:
    """The value itself, or where it is too large for an object, what it is and where to read it."""
    if value is None or len(value) <= MAX_VALUE_BYTES:
        return value
    return Json.of({"truncated": True, "bytes": len(value), "readWith": f"workflow-operator output {where}"})


def _shown(value: Json | None, where: str) -> JsonValue:
    small = bounded(value, where)
    try:
        loaded: JsonValue = None if small is None else small.load()
    except InvalidInput as error:
        # No script wrote it, and the rest of the run is as good as ever.
        loaded = {"unreadable": str(error)}
    return loaded


def _mirrored(instance: InstanceStatus, shown: RunStatus) -> dict[str, object]:
    error = instance.error
    return {
        "phase": phase_of(instance),
        "instance_id": str(instance.instance_id),
        "start_time": shown.start_time or instance.created_at.replace(microsecond=0),
        "completion_time": shown.completion_time or (instance.ended_at and instance.ended_at.replace(microsecond=0)),
        "steps": instance.steps,
        "waiting_for": waits(instance.waiting_for),
        "signals": counts(instance),
        "suspended_at": instance.suspended_at and instance.suspended_at.replace(microsecond=0),
        "memory": _shown(instance.memory, f"{instance.key} --memory"),
        "output": _shown(instance.output, str(instance.key)),
        "error": error and _error(error),
        # Of a history that was restored from a backup, the object may have shown later events than it holds.
        "history_sequence": max(instance.history_sequence, shown.history_sequence or 0),
    }


def _error(error: ErrorInfo) -> RunError:
    return RunError(
        name=error.name,
        message=error.message,
        line=_place(error.line),
        column=_place(error.column),
        stack=error.stack or None,
    )


def _never_begun(problem: Problem, shown: RunStatus, now: datetime) -> dict[str, object]:
    return {
        "phase": Phase.FAILED,
        "completion_time": shown.completion_time or now.replace(microsecond=0),
        "error": RunError(name=problem.reason, message=problem.message),
    }


def _failed(reason: str, message: str) -> list[tuple[ConditionType, str, str]]:
    # kstatus, and with it Flux and others, knows a failed object by Stalled.
    return [(kind, reason, message) for kind in (ConditionType.FAILED, ConditionType.STALLED, ConditionType.FINISHED)]


def _without_instance(problem: Problem | None) -> list[tuple[ConditionType, str, str]]:
    if problem is None:
        return [(ConditionType.RECONCILING, "Starting", "the run is being started")]
    if problem.failed:
        return _failed(problem.reason, problem.message)
    waiting = [(ConditionType.RECONCILING, problem.reason, problem.message)]
    return [(ConditionType.STALLED, problem.reason, problem.message)] if problem.stalled else waiting


def _with_instance(instance: InstanceStatus, problem: Problem | None = None) -> list[tuple[ConditionType, str, str]]:
    match instance.status:
        case StatusValue.COMPLETE:
            message = f"the script ended well after {_steps(instance)}"
            return [
                (ConditionType.COMPLETE, "Succeeded", message),
                (ConditionType.FINISHED, "Succeeded", message),
            ]
        case StatusValue.FAILED:
            return _failed(*_failure(instance))
        case StatusValue.CANCELLED:
            return [(ConditionType.FINISHED, "Cancelled", f"the run was cancelled after {_steps(instance)}")]
        case StatusValue.PENDING if problem is not None:
            return _without_instance(problem)
        case StatusValue.PENDING if instance.suspended_at is not None and not instance.cancel_requested:
            return [(kind, *_suspended(instance)) for kind in (ConditionType.SUSPENDED, ConditionType.RECONCILING)]
        case StatusValue.PENDING:
            return [(ConditionType.RECONCILING, *_activity(instance))]


def _activity(instance: InstanceStatus) -> tuple[str, str]:
    if instance.cancel_requested:
        return "Cancelling", "the run is being cancelled"
    if instance.parked and instance.waiting_for and instance.waiting_for[0].kind != "timer":
        return _waiting(instance)
    if instance.parked and instance.wake_at is not None:
        return "Sleeping", f"the script sleeps until {instance.wake_at:%Y-%m-%dT%H:%M:%SZ}; {_steps(instance)} recorded"
    if instance.executor is None:
        return "Queued", "the run waits for an executor"
    return "Executing", f"the script runs; {_steps(instance)} recorded"


def _suspended(instance: InstanceStatus) -> tuple[str, str]:
    since = f"{instance.suspended_at:%Y-%m-%dT%H:%M:%SZ}"
    return "Suspended", f"spec.suspend is true, since {since}; {_steps(instance)} recorded. Nothing new begins"


def _waiting(instance: InstanceStatus) -> tuple[str, str]:
    """What a parked run waits for first."""
    first, *others = instance.waiting_for
    name, at = first.name[:_MOST_NAME], "" if first.until is None else f"{first.until[:19]}Z"
    more = f", and for {len(others)} more" if others else ""
    if first.kind == "retry":
        return "RetryBackoff", f"step {name} is tried again at {at}{more}"
    types, until = " or ".join(first.types)[:_MOST_NAME], f" until {at}" if at else ""
    return "WaitingForEvent", f"the script waits for the event {types} ({name}){until}{more}"


def _failure(instance: InstanceStatus) -> tuple[str, str]:
    error = instance.error
    if error is None:
        return "Failed", "the script failed"
    return error.name if _REASON.fullmatch(error.name) else "Thrown", error.text()


def _place(number: int | None) -> int | None:
    """A line or column that the schema takes; a history can hold any."""
    return number if number is not None and 1 <= number <= _MAX_INT32 else None


def _steps(instance: InstanceStatus) -> str:
    return "1 step" if instance.steps == 1 else f"{instance.steps} steps"
