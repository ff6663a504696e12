"""What the types of all custom resources are made of: their base, times, cut texts, and rules in CEL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

MAX_MESSAGE_CHARS: Final = 4_096
DNS_SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
INT64: Final[JsonDict] = {"format": "int64"}
ANY_JSON: Final[JsonDict] = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}
_REMEDY: Final = "a run keeps what it was created with; create a new WorkflowRun instead"


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time before the year 1 or after the year 9999 in UTC") from error


Timestamp = Annotated[
    AwareDatetime, AfterValidator(_in_utc), PlainSerializer(_rfc3339, return_type=str, when_used="json")
]
"""A moment with a zone; on the wire in UTC.

Kubernetes writes whole seconds, and so do we; but what somebody has set with a fraction, and may not be changed, is
written as it was.
"""


def clipped(limit: int) -> BeforeValidator:
    def clip(text: object) -> object:
        return text[: limit - 1] + "…" if isinstance(text, str) and len(text) > limit else text

    return BeforeValidator(clip)


Message = Annotated[str, clipped(MAX_MESSAGE_CHARS), Field(max_length=MAX_MESSAGE_CHARS)]
"""Text for people; what is too long is cut and ends in an ellipsis."""


def rule(expression: str, message: str, **extra: str) -> JsonDict:
    """A validation rule in CEL."""
    return {"rule": expression, "message": message, **extra}


def immutable(field: str, *, dynamic: bool = False, remedy: str = _REMEDY) -> JsonDict:
    """The rule that a field of the spec is not added, removed or changed."""
    new, old = ("dyn(self)", "dyn(oldSelf)") if dynamic else ("self", "oldSelf")
    return rule(
        f"[?{new}.?{field}] == [?{old}.?{field}]",
        f"spec.{field} is immutable: {remedy}",
        reason="FieldValueForbidden",
    )


class Wire(BaseModel):
    """Base of all that is read from the API server and written to it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


def to_wire(model: BaseModel) -> dict[str, Any]:
    """The JSON form of a model: camelCase, times in UTC. A field that is None is left out; a null inside a JSON
    value (input, memory, output) stays.
    """
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
