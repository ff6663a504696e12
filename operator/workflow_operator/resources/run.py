"""The custom resource WorkflowRun as types: the one source of its schema, its rules and its field reference.

``workflow_operator.resources.generate`` writes the CRD and the documentation from these classes; nothing of either
is edited by hand. Field names are snake_case here and camelCase in the API. ``model_validate(object)`` reads an object
from the API server and ignores fields of newer releases; ``to_wire(model)`` gives the JSON form.

Why the schema has the form it has:

- Immutability is one rule per field, not one for the whole spec, so that a later release can add mutable fields.
- ``[?self.?f] == [?oldSelf.?f]`` holds exactly if f was not added, removed or changed. Free JSON is invisible to the
  type checker of CEL, so there the object goes through ``dyn``; the lists around the values also bound the rule's
  estimated cost, which the comparison of two dynamic values would exceed.
- ``kubectl get`` shows the reason, and with ``-o wide`` the message, of the first condition that is True, and the
  writer puts the most telling one first (see conditions.py). So both columns say something in every state without two
  more status fields.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field, JsonValue
from pydantic.config import JsonDict

from workflow_operator.resources.schema import (
    ANY_JSON,
    DNS_SUBDOMAIN,
    INT64,
    Message,
    Timestamp,
    Wire,
    clipped,
    immutable,
    rule,
)

MAX_SCRIPT_CHARS: Final = 65_536
MAX_REASON_CHARS: Final = 256
MAX_ERROR_NAME_CHARS: Final = 256
MAX_STACK_CHARS: Final = 2_048
MAX_CONDITIONS: Final = 16
MAX_WAITS: Final = 8
MAX_WAIT_NAME_CHARS: Final = 128
MAX_WAIT_TYPES: Final = 16


class Phase(StrEnum):
    """Where a run is, in one word. The last three are final."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETE = "Complete"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


FINAL_PHASES: Final = (Phase.COMPLETE, Phase.FAILED, Phase.CANCELLED)


class ConditionType(StrEnum):
    """The condition types that the operator sets."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    FINISHED = "Finished"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"


TERMINAL_CONDITIONS: Final = (ConditionType.COMPLETE, ConditionType.FAILED, ConditionType.FINISHED)


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


ErrorName = Annotated[str, clipped(MAX_ERROR_NAME_CHARS), Field(max_length=MAX_ERROR_NAME_CHARS)]
"""The name of an error; cut like a message."""


Stack = Annotated[str, clipped(MAX_STACK_CHARS), Field(max_length=MAX_STACK_CHARS)]
"""Frames of a script; cut like a message."""


def _quoted(values: tuple[StrEnum, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _set_once(field: str) -> JsonDict:
    return rule(
        f"!has(oldSelf.{field}) || (has(self.{field}) && self.{field} == oldSelf.{field})",
        f"status.{field} is immutable once it is set",
        reason="FieldValueForbidden",
    )


class ConfigMapKey(Wire):
    """A key of a ConfigMap in the namespace of the run."""

    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the ConfigMap.")
    key: str = Field(
        min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="Key that holds the script."
    )


class ScriptSource(Wire):
    """Where the script is read from. It is read once, when the run starts."""

    config_map_key_ref: ConfigMapKey = Field(
        description="A key of a ConfigMap in the namespace of the run. Its later changes do not reach the run."
    )


class RunSpec(Wire):
    """What to run. Nothing of it can be changed later, but suspend."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "has(self.script) != has(self.scriptFrom)",
                    "exactly one of spec.script and spec.scriptFrom is required: script holds the source itself, "
                    "scriptFrom names the ConfigMap key that holds it",
                ),
                immutable("script"),
                immutable("scriptFrom"),
                immutable("entrypoint"),
                immutable("input", dynamic=True),
            ]
        }
    )

    script: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_SCRIPT_CHARS,
        description="JavaScript source. Exactly one of script and scriptFrom is required.",
    )
    script_from: ScriptSource | None = Field(
        default=None,
        description="Names the place that holds the source. Exactly one of script and scriptFrom is required.",
    )
    entrypoint: str | None = Field(
        default=None,
        max_length=128,
        pattern=r"^[\p{L}_$][\p{L}\p{N}_$]*$",
        description="Function to call. Without it: main, else what flow.state names, else the first top-level "
        "function whose name begins with state.",
    )
    input: JsonValue = Field(
        default=None,
        description="Argument of the function: any JSON value.",
        json_schema_extra=ANY_JSON,
    )
    suspend: bool | None = Field(
        default=None,
        description="Whether to leave the run alone: attempts under way end and are recorded, nothing new begins. It "
        "goes on when this is false or removed. May be set at creation, and changed until the run has ended.",
    )


class Condition(Wire):
    """One aspect of the run, as every Kubernetes object shows it."""

    type: str = Field(
        min_length=1,
        max_length=64,
        description="Complete, Failed, Finished, Reconciling, Stalled or Suspended.",
    )
    status: ConditionStatus = Field(description="Whether the condition holds.")
    observed_generation: int | None = Field(
        default=None,
        ge=0,
        description="metadata.generation that the condition was computed from.",
        json_schema_extra=INT64,
    )
    last_transition_time: Timestamp = Field(description="When status last changed.")
    reason: str = Field(
        min_length=1,
        max_length=MAX_REASON_CHARS,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="Why, as one word for programs.",
    )
    message: Message = Field(description="Why, as a sentence for people.")


class RunError(Wire):
    """Why the run failed."""

    name: ErrorName = Field(description="Name of the thrown error, or of the limit that was hit.")
    message: Message = Field(description="What the error says.")
    line: int | None = Field(
        default=None,
        ge=1,
        description="Line in the script, from 1.",
        json_schema_extra=INT64,
    )
    column: int | None = Field(
        default=None,
        ge=1,
        description="Column in that line, from 1.",
        json_schema_extra=INT64,
    )
    stack: Stack | None = Field(default=None, description="Where in the script it was made: one frame a line.")


EventTypeName = Annotated[str, Field(max_length=MAX_WAIT_NAME_CHARS, description="A type of event.")]


class Waited(Wire):
    """Something that a parked run waits for."""

    kind: str = Field(max_length=64, description="Timer, Retry or Event.")
    name: str = Field(max_length=MAX_WAIT_NAME_CHARS, description="Its name in the script, cut at 128 characters.")
    until: Timestamp | None = Field(default=None, description="When it ends by itself.")
    types: tuple[EventTypeName, ...] | None = Field(
        default=None,
        max_length=MAX_WAIT_TYPES,
        description="Of an Event: the types that end it.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class SignalCounts(Wire):
    """How many events from outside have come."""

    received: int = Field(ge=0, description="In all.", json_schema_extra=INT64)
    unconsumed: int = Field(ge=0, description="That no wait of the script has got.", json_schema_extra=INT64)


class RunStatus(Wire):
    """What became of the run. Only the operator writes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    f"!(oldSelf.phase in [{_quoted(FINAL_PHASES)}]) || self.phase == oldSelf.phase",
                    "status.phase is final: a run that ended stays as it ended",
                    reason="FieldValueForbidden",
                ),
                rule(
                    "!has(oldSelf.conditions) || oldSelf.conditions.all(old, "
                    f"!(old.type in [{_quoted(TERMINAL_CONDITIONS)}] && old.status == 'True') "
                    "|| (has(self.conditions) && self.conditions.exists(new, new == old)))",
                    "a condition Complete, Failed or Finished that is True is final: it can be neither changed nor "
                    "removed",
                    reason="FieldValueForbidden",
                ),
                rule(
                    "!has(oldSelf.historySequence) "
                    "|| (has(self.historySequence) && self.historySequence >= oldSelf.historySequence)",
                    "status.historySequence never decreases: a newer status has been written already",
                    reason="FieldValueForbidden",
                ),
                _set_once("startTime"),
                _set_once("completionTime"),
            ]
        }
    )

    observed_generation: int = Field(
        ge=-1,
        description="metadata.generation that the operator has acted on; -1 before it saw the run.",
        json_schema_extra=INT64,
    )
    phase: Phase = Field(description="Pending, Running, or one of the final Complete, Failed and Cancelled.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=MAX_CONDITIONS,
        description="The aspects of the run, the most telling first.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    instance_id: str | None = Field(
        default=None,
        alias="instanceID",
        max_length=64,
        description="The execution in the history: the run's uid; in a copy restored from a backup, the original's.",
    )
    start_time: Timestamp | None = Field(default=None, description="When the run was recorded as started.")
    completion_time: Timestamp | None = Field(default=None, description="When the run ended, however it ended.")
    steps: int | None = Field(
        default=None,
        ge=0,
        description="Steps recorded so far.",
        json_schema_extra=INT64,
    )
    waiting_for: tuple[Waited, ...] | None = Field(
        default=None,
        max_length=MAX_WAITS,
        description="What the run waits for while it is parked: the first few, those that end first before the others.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    signals: SignalCounts | None = Field(default=None, description="The events from outside, if any have come.")
    suspended_at: Timestamp | None = Field(default=None, description="Since when the run is suspended, while it is.")
    memory: JsonValue = Field(
        default=None,
        description="The payload of the last transition: any JSON value.",
        json_schema_extra=ANY_JSON,
    )
    output: JsonValue = Field(
        default=None,
        description="What the run returned, or gave to finish(): any JSON value.",
        json_schema_extra=ANY_JSON,
    )
    error: RunError | None = Field(default=None, description="Why the run failed.")
    history_sequence: int | None = Field(
        default=None,
        ge=0,
        description="Sequence of the last event that this status tells of.",
        json_schema_extra=INT64,
    )


UNSEEN: Final[JsonDict] = {"observedGeneration": -1, "phase": Phase.PENDING.value}
"""The status of a run that the operator has not seen yet: the default in the CRD."""


class ObjectMeta(Wire):
    """What the operator reads of an object's metadata. The API server owns its schema."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int
    labels: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: Timestamp
    deletion_timestamp: Timestamp | None = None


class WorkflowRun(Wire):
    """One execution of a JavaScript workflow."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                # Nobody would act on it, and what waits for observedGeneration would wait for ever.
                rule(
                    f"!has(oldSelf.status) || !(oldSelf.status.phase in [{_quoted(FINAL_PHASES)}]) "
                    "|| [?self.spec.?suspend] == [?oldSelf.spec.?suspend]",
                    "spec.suspend is immutable once the run has ended",
                    reason="FieldValueForbidden",
                ),
            ]
        }
    )

    metadata: ObjectMeta
    spec: RunSpec = Field(description="What to run. Nothing of it can be changed later, but suspend.")
    status: RunStatus = Field(
        default_factory=lambda: RunStatus.model_validate(UNSEEN),
        description="What became of the run. Only the operator writes it.",
        json_schema_extra={"default": dict(UNSEEN)},
    )


class ObservedSpec(Wire):
    """What may change of the spec of a WorkflowRun."""

    suspend: bool | None = None


class ObservedRun(Wire):
    """What an operator keeps of a WorkflowRun; see :mod:`workflow_operator.resources.sighting`."""

    metadata: ObjectMeta
    spec: ObservedSpec = Field(default_factory=ObservedSpec)
    status: RunStatus = Field(default_factory=lambda: RunStatus.model_validate(UNSEEN))
