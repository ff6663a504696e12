"""How a record is written: JSON in camelCase, absent where not set, frozen by golden files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self, TypeAlias, TypeVar

import msgspec
from msgspec.structs import FieldInfo, fields, force_setattr, replace

from workflow_operator.history.errors import InvalidInput, UnknownFormat
from workflow_operator.history.values import Json

FORMAT_VERSION: Final = 1
# Of events whose call was digested by its bytes: an older release would take it for another call, and fail the run.
BYTES_DIGEST_VERSION: Final = 2
# Of calls that an older release does not have: it must leave the run to a newer one in the same way.
NEWER_CALLS_VERSION: Final = BYTES_DIGEST_VERSION
# Of several events in one message: an older release knows no such thing, and must leave it alone.
COMMIT_VERSION: Final = 3

# Known from where a record stands, and no part of what is stored.
_TRANSPORT = frozenset({"sequence", "previous", "place", "size"})
_NO_NAME = "~"

Number: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
"""What every reader of JSON holds exactly."""

if TYPE_CHECKING:
    Carried: TypeAlias = Json | None
    """A value that is carried: None where there is none, ``Json.NULL`` where it is null."""
else:
    # What the decoder steps over and leaves as bytes.
    Carried = msgspec.Raw


def stored_name(name: str) -> str:
    """``instance_id`` -> ``instanceID``: camelCase, with ID in capitals as Kubernetes writes it."""
    if name in _TRANSPORT:
        return _NO_NAME + name
    head, *rest = name.split("_")
    return head + "".join("ID" if part == "id" else part.capitalize() for part in rest)


def rfc3339(value: datetime) -> str:
    """UTC with microseconds and ``Z``: one spelling for one instant, and sortable as text."""
    return value.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def always(default: Any) -> Any:
    """A field that is written even where it has its default, as version 1 always did."""
    return msgspec.field(default_factory=lambda: default)


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=stored_name, gc=False):
    """Base of all that is stored. A field with its default is absent in the JSON, unless it is one of :func:`always`.

    Fields of a newer release within the same format version are ignored. None can hold itself, so that the collector of
    cycles has nothing to look for in the tens of thousands of a long history (gc=False).
    """

    # Fields that hold a value, and fields that hold an instant.
    VALUES: ClassVar[Sequence[str]] = ()
    TIMES: ClassVar[Sequence[str]] = ()

    def has(self, field: str) -> bool:
        """Whether there is a value in the field: tells ``input: null`` from no input."""
        return getattr(self, field) is not None

    def replace(self, **changes: Any) -> Self:
        """A copy with these fields."""
        return replace(self, **changes)

    def to_json(self) -> bytes:
        if _is_plain(self):
            # The encoder alone writes the same, in a fraction of the time.
            return _ENCODER.encode(self)
        return _ENCODER.encode(
            {
                stored: rfc3339(value) if isinstance(value, datetime) else value
                for field, stored, default in _layout(type(self))
                if (value := getattr(self, field)) != default
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON for people, parsed."""
        stored: dict[str, Any] = json.loads(self.to_json())
        return stored


def as_it_is(value: object) -> msgspec.Raw:
    """What an encoder of msgspec does with a ``Json``: its bytes go in unread. Raises TypeError for anything else."""
    if isinstance(value, Json):
        return msgspec.Raw(value.data)
    raise TypeError(f"{type(value).__name__} has no JSON form of its own")


_ENCODER = msgspec.json.Encoder(enc_hook=as_it_is)


@cache
def _set_by_transport(kind: type[Record]) -> Sequence[str]:
    return [each.name for each in fields(kind) if each.name in _TRANSPORT]


def _is_plain(record: Record) -> bool:
    """Whether the encoder writes what is stored: it would write what the transport knows as well, and leaves out
    microseconds that are 0."""
    kind = type(record)
    for name in _set_by_transport(kind):
        if getattr(record, name):
            return False
    for name in kind.TIMES:
        time = getattr(record, name)
        if time is not None and (time.microsecond == 0 or time.tzinfo is not UTC):
            return False
    return True


@cache
def _layout(kind: type[Record]) -> Sequence[tuple[str, str, object]]:
    return [(each.name, each.encode_name, _omitted(each)) for each in fields(kind) if each.name not in _TRANSPORT]


def _omitted(field: FieldInfo) -> object:
    """The value with which a field is left out."""
    if field.default_factory is dict:
        return {}
    # Nothing equals what marks a field without a default.
    return field.default


R = TypeVar("R", bound=Record)


def decode(
    decoder: msgspec.json.Decoder[R],
    data: bytes,
    what: Callable[[], str],
    newest: int,
    types: frozenset[str] | None = None,
) -> R:
    """Read a record, whoever wrote it. Values stay bytes, times are in UTC.

    Args:
        what: names it in errors.
        newest: the newest format version of such records that this release reads.
        types: the values of ``type`` that this release knows, where a record has one.

    Raises:
        UnknownFormat: a newer version, or a type that this release does not know.
        InvalidInput: anything else that is no such record, whatever is wrong with it.
    """
    try:
        # The decoder does not look into the values that it steps over.
        if not data.isascii():
            str(data, "utf-8")
        record = decoder.decode(data)
        for name in record.VALUES:
            if (raw := getattr(record, name)) is not None:
                # A copy: what it points to is the whole message.
                force_setattr(record, name, Json(bytes(raw)))
        for name in record.TIMES:
            if (time := getattr(record, name)) is not None and time.tzinfo is not UTC:
                force_setattr(record, name, _utc(time))
    except Exception as error:  # Whatever it is: what anybody can store must not end a reader.
        _refuse_newer(data, what(), newest, types)
        raise InvalidInput(f"{what()}: cannot be read: {error}") from error
    return record


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time without a zone; expected RFC 3339 with an offset")
    return value.astimezone(UTC)


def _refuse_newer(data: bytes, what: str, newest: int, types: frozenset[str] | None) -> None:
    """Tell a record that a newer release wrote from one that is broken."""
    try:
        head = json.loads(data)
        version, kind, instance = int(head["version"]), head.get("type"), head.get("instanceID")
        known = types is None or kind in types
    except Exception as error:
        raise InvalidInput(f"{what}: expected a JSON object with a version, got {bytes(data[:80])!r}") from error
    if not FORMAT_VERSION <= version <= newest or not known:
        raise UnknownFormat(
            f"{what}: of instance {str(instance)[:80]}: format version {version}, type {str(kind)[:80]}; this release "
            f"reads versions up to {newest}. Upgrade every replica to the release that wrote it."
        )
