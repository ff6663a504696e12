"""How a record is written: JSON in camelCase, absent where not set, frozen by golden files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer

FORMAT_VERSION = 1


def camel(name: str) -> str:
    """``instance_id`` -> ``instanceID``: camelCase, with ID in capitals as Kubernetes writes it."""
    head, *rest = name.split("_")
    return head + "".join("ID" if part == "id" else part.capitalize() for part in rest)


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time without a zone; expected RFC 3339 with an offset")
    return value.astimezone(UTC)


def rfc3339(value: datetime) -> str:
    """UTC with microseconds and ``Z``: one spelling for one instant, and sortable as text."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


Instant = Annotated[datetime, AfterValidator(_utc), PlainSerializer(rfc3339, return_type=str)]


class Record(BaseModel):
    """Base of all that is stored. A field that was never set is absent in the JSON; one set to None is null.

    Fields of a newer release within the same format version are ignored.
    """

    model_config = ConfigDict(alias_generator=camel, populate_by_name=True, frozen=True, extra="ignore")

    def has(self, field: str) -> bool:
        """Whether the field was set: tells ``input: null`` from no input."""
        return field in self.model_fields_set

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True, exclude_unset=True).encode()

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
