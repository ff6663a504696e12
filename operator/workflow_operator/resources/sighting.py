"""What an operator keeps of an object: who it is, and its status. Script, input and values are not even parsed.

Anybody may create an object of a megabyte and more, and parsed JSON takes up to 26 times its bytes. So the JSON of an
object is read here only, in one pass that builds nothing of what is left out: ``spec`` but for ``suspend``,
annotations, labels and managed fields, and memory and output of the status.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from workflow_operator.resources.run import FINAL_PHASES, ConditionStatus, ConditionType

JsonObject = dict[str, Any]

_ABSENT: Any = msgspec.UNSET


class _Metadata(msgspec.Struct):
    """The types are those that whoever files objects by them relies on."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    namespace: str | msgspec.UnsetType = msgspec.UNSET
    uid: str | msgspec.UnsetType = msgspec.UNSET
    resourceVersion: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    generation: Any = _ABSENT
    creationTimestamp: Any = _ABSENT  # noqa: N815
    deletionTimestamp: Any = _ABSENT  # noqa: N815


class _Status(msgspec.Struct):
    """Every field of RunStatus that has no free JSON in it."""

    observedGeneration: Any = _ABSENT  # noqa: N815
    phase: Any = _ABSENT
    conditions: Any = _ABSENT
    instanceID: Any = _ABSENT  # noqa: N815
    startTime: Any = _ABSENT  # noqa: N815
    completionTime: Any = _ABSENT  # noqa: N815
    steps: Any = _ABSENT
    waitingFor: Any = _ABSENT  # noqa: N815
    signals: Any = _ABSENT
    suspendedAt: Any = _ABSENT  # noqa: N815
    error: Any = _ABSENT
    historySequence: Any = _ABSENT  # noqa: N815


class _Spec(msgspec.Struct):
    suspend: Any = _ABSENT


class _Object(msgspec.Struct):
    metadata: _Metadata
    spec: msgspec.Raw = msgspec.Raw()
    apiVersion: Any = _ABSENT  # noqa: N815
    kind: Any = _ABSENT
    status: msgspec.Raw = msgspec.Raw()


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Identity(msgspec.Struct):
    uid: str


class _Identified(msgspec.Struct):
    metadata: _Identity


class _Version(msgspec.Struct):
    resourceVersion: str  # noqa: N815


class _Versioned(msgspec.Struct):
    metadata: _Version


class _Position(msgspec.Struct):
    more: str = msgspec.field(name="continue", default="")


class _Identities(msgspec.Struct):
    metadata: _Position
    items: list[_Identified] | None = None


class _List(msgspec.Struct):
    metadata: JsonObject
    items: list[msgspec.Raw] | None = None
    apiVersion: Any = _ABSENT  # noqa: N815
    kind: Any = _ABSENT


_OBJECT = msgspec.json.Decoder(_Object)
_SPEC = msgspec.json.Decoder(_Spec)
_STATUS = msgspec.json.Decoder(_Status)
_EVENT = msgspec.json.Decoder(_Event)
_LIST = msgspec.json.Decoder(_List)
_VERSIONED = msgspec.json.Decoder(_Versioned)
_IDENTITIES = msgspec.json.Decoder(_Identities)

UNREADABLE_STATUS = "unreadable"
"""Stands for a status that is no status, so that whoever reads the object says so."""


class Identities(NamedTuple):
    """Of one page of a list; ``more`` asks for the next one, and is empty after the last."""

    uids: list[str]
    more: str


class Seen(NamedTuple):
    """One event of a watch: what :func:`sighting` gives of its object, and the JSON of that. What is no object, as in
    an ERROR or a BOOKMARK, is there as it is."""

    kind: str
    object: JsonObject
    text: memoryview


class Page(NamedTuple):
    """One page of a list; ``faults`` tells of the objects in it that cannot be read and are left out."""

    page: JsonObject
    faults: list[str]


def sighting(data: bytes | msgspec.Raw) -> JsonObject:
    """The object as an operator keeps it, from its JSON.

    Raises:
        ValueError: no JSON object with metadata, or one that is nested deeper than can be followed.
    """
    found = _decoded(_OBJECT, data)
    seen = _present(found)
    seen["metadata"] = _present(found.metadata)
    if asks := _asked(seen.pop("spec")):
        seen["spec"] = asks
    if bytes(seen.pop("status")):
        try:
            seen["status"] = _present(_decoded(_STATUS, found.status))
        except ValueError:
            seen["status"] = UNREADABLE_STATUS
    return seen


def _asked(spec: msgspec.Raw) -> JsonObject:
    """What of the spec may change. What is no spec asks for nothing."""
    try:
        return _present(_decoded(_SPEC, spec)) if bytes(spec) else {}
    except ValueError:
        return {}


def _present(found: msgspec.Struct) -> JsonObject:
    return {name: value for name, value in msgspec.structs.asdict(found).items() if value is not msgspec.UNSET}


def shows_end(seen: JsonObject) -> bool:
    """Whether a sighting says that its run is over, and says all that belongs to an end."""
    status = seen.get("status")
    if not isinstance(status, dict) or status.get("phase") not in FINAL_PHASES:
        return False
    conditions = status.get("conditions")
    return isinstance(conditions, list) and any(map(_is_finished, conditions))


def _is_finished(condition: Any) -> bool:
    return (
        isinstance(condition, dict)
        and condition.get("type") == ConditionType.FINISHED
        and condition.get("status") == ConditionStatus.TRUE
    )


def watch_event(line: bytes) -> Seen:
    """One line of a watch.

    Raises:
        ValueError: no watch event, or its object cannot be read.
    """
    event = _decoded(_EVENT, line)
    whole = event.type in ("ERROR", "BOOKMARK")
    found = msgspec.json.decode(event.object) if whole else sighting(event.object)
    return Seen(event.type, found, memoryview(event.object))


def page(data: bytes) -> Page:
    """One page of a list of objects, each as :func:`sighting` gives it.

    Raises:
        ValueError: not a list.
    """
    found = _decoded(_LIST, data)
    items: list[JsonObject] = []
    faults: list[str] = []
    for raw in found.items or ():
        try:
            items.append(sighting(raw))
        except ValueError as error:
            faults.append(f"{bytes(raw)[:200]!r}: {error}")
    return Page(_present(found) | {"items": items}, faults)


def identities(data: bytes) -> Identities:
    """The uids in one page of a list. Labels and managed fields have a megabyte where somebody wants it so.

    Raises:
        ValueError: not a list.
    """
    found = _decoded(_IDENTITIES, data)
    # Of metadata alone, an empty list is null.
    return Identities([item.metadata.uid for item in found.items or ()], found.metadata.more)


def version(data: bytes) -> str:
    """The resource version of an object.

    Raises:
        ValueError: no JSON object with one.
    """
    return str(_decoded(_VERSIONED, data).metadata.resourceVersion)


def _decoded(decoder: msgspec.json.Decoder[Any], data: bytes | msgspec.Raw) -> Any:
    try:
        return decoder.decode(data)
    except RecursionError as error:
        raise ValueError("nested deeper than can be followed") from error
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
