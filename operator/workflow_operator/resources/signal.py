"""The custom resource WorkflowSignal as types: an event for a run, which its script gets from step.waitForEvent.

As in run.py these classes are the one source of its schema and of its field reference.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from pydantic import ConfigDict, Field, JsonValue
from pydantic.config import JsonDict

from workflow_operator.resources.run import MAX_CONDITIONS, Condition, ObjectMeta
from workflow_operator.resources.schema import ANY_JSON, DNS_SUBDOMAIN, INT64, Timestamp, Wire, immutable, rule

DAY_SECONDS: Final = 24 * 3600
MAX_ID_CHARS: Final = 253
MAX_TYPE_CHARS: Final = 100
MAX_SENDER_CHARS: Final = 1024
_REMEDY: Final = "an event is sent once; create a new WorkflowSignal instead"


class SignalPhase(StrEnum):
    """What became of an event. The last two are final."""

    PENDING = "Pending"
    DELIVERED = "Delivered"
    REJECTED = "Rejected"


class RunRef(Wire):
    """A run in the namespace of the signal."""

    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the WorkflowRun.")


class SignalSpec(Wire):
    """Which event, and for whom. Nothing of it can be changed later."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                immutable("runRef", remedy=_REMEDY),
                immutable("type", remedy=_REMEDY),
                immutable("payload", dynamic=True, remedy=_REMEDY),
                immutable("id", remedy=_REMEDY),
                immutable("sender", remedy=_REMEDY),
            ]
        }
    )

    run_ref: RunRef = Field(description="The run that gets the event. It may be created later.")
    type: str = Field(
        min_length=1,
        max_length=MAX_TYPE_CHARS,
        description="What the script waits for: step.waitForEvent(name, {type}).",
    )
    payload: JsonValue = Field(
        default=None, description="What the script gets with it: any JSON value.", json_schema_extra=ANY_JSON
    )
    id: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_ID_CHARS,
        description="Of several events of a run with one ID the script gets the first. Without it: metadata.name.",
    )
    sender: str | None = Field(
        default=None,
        max_length=MAX_SENDER_CHARS,
        description="Who sends it. The chart's admission policy lets nobody name somebody else; without that policy "
        "the script does not get it.",
    )
    ttl_seconds_after_delivered: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="The object is deleted so long after its event was delivered or rejected. Without it: one day.",
        json_schema_extra=INT64,
    )


class SignalStatus(Wire):
    """What became of the event. Only the operator writes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "oldSelf.phase == 'Pending' || self.phase == oldSelf.phase",
                    "status.phase is final: an event that was delivered or rejected stays so",
                    reason="FieldValueForbidden",
                )
            ]
        }
    )

    phase: SignalPhase = Field(description="Pending, or one of the final Delivered and Rejected.")
    history_sequence: int | None = Field(
        default=None,
        ge=0,
        description="Sequence of the event in the run's history; of the first one with its ID.",
        json_schema_extra=INT64,
    )
    completion_time: Timestamp | None = Field(default=None, description="When it was delivered or rejected.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=MAX_CONDITIONS,
        description="Delivered, or Stalled with the reason.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


UNSEEN_SIGNAL: Final[JsonDict] = {"phase": SignalPhase.PENDING.value}


class WorkflowSignal(Wire):
    """An event from outside for one run, whose script gets it from step.waitForEvent, now or later."""

    metadata: ObjectMeta
    spec: SignalSpec = Field(description="Which event, and for whom. Nothing of it can be changed later.")
    status: SignalStatus = Field(
        default_factory=lambda: SignalStatus.model_validate(UNSEEN_SIGNAL),
        description="What became of the event. Only the operator writes it.",
        json_schema_extra={"default": dict[str, Any](UNSEEN_SIGNAL)},
    )
