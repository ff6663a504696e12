"""The history of instances: events, the status folded from them, their subjects and errors.

Pure: nothing here does I/O, reads a clock or draws a random number.
"""

from workflow_operator.history.arguments import arguments_json, digest, matches
from workflow_operator.history.commits import Commit, EncodedCommit, commit_ids, decode_commit, encode_commit, named
from workflow_operator.history.events import (
    INPUTS,
    SCRIPT_RULES,
    TERMINAL_TYPES,
    TOGGLES,
    TYPE_CHARACTERS,
    CallRecord,
    Caught,
    CaughtStep,
    ErrorInfo,
    EventType,
    ExecutorRef,
    InstanceEvent,
    LetGo,
    Origin,
    SignalInfo,
    WaitedFor,
    decode_event,
    encode_event,
)
from workflow_operator.history.format import FORMAT_VERSION, as_it_is, rfc3339
from workflow_operator.history.ports import DataBus, Delivery, QueueDepth, Release, WorkQueue
from workflow_operator.history.status import InstanceStatus, StatusValue, decode_status, encode_status, fold
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.history.values import MAX_NESTING, Json, well_formed

__all__ = [
    "FORMAT_VERSION",
    "INPUTS",
    "MAX_NESTING",
    "SCRIPT_RULES",
    "TERMINAL_TYPES",
    "TOGGLES",
    "TYPE_CHARACTERS",
    "CallRecord",
    "Caught",
    "CaughtStep",
    "Commit",
    "DataBus",
    "Delivery",
    "EncodedCommit",
    "ErrorInfo",
    "EventType",
    "ExecutorRef",
    "InstanceEvent",
    "InstanceKey",
    "InstanceStatus",
    "Json",
    "LetGo",
    "Origin",
    "QueueDepth",
    "Release",
    "SignalInfo",
    "StatusValue",
    "WaitedFor",
    "WorkQueue",
    "arguments_json",
    "as_it_is",
    "commit_ids",
    "decode_commit",
    "decode_event",
    "decode_status",
    "digest",
    "encode_commit",
    "encode_event",
    "encode_status",
    "fold",
    "matches",
    "named",
    "rfc3339",
    "well_formed",
]
