"""The headers of our messages."""

from __future__ import annotations

import re
from collections.abc import Mapping

from workflow_operator.history.errors import InvalidInput

EXPECTED_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
STREAM_SOURCE = "Nats-Stream-Source"
TIME_STAMP = "Nats-Time-Stamp"
SCHEDULE = "Nats-Schedule"
SCHEDULE_TARGET = "Nats-Schedule-Target"

# The expected sequence once more: sourcing strips every Nats-Expected header.
PREVIOUS_SEQUENCE = "Workflow-Previous-Sequence"
# The historySequence of a status, so that statuses can be compared with histories without their payloads.
HISTORY_SEQUENCE = "Workflow-History-Sequence"

# Of a timer that is not needed any more: fired, it wakes nobody.
DROPPED = "Workflow-Dropped"
# Of a queue message: who released it, as executor, epoch and how it let go.
RELEASED = "Workflow-Released"

# Whether the status is "pending" or how the instance ended, so that who looks for what goes on need not read the rest.
STATUS_VALUE = "Workflow-Status"

_SEQUENCE = re.compile(r"[0-9]{1,20}")


def read_sequence(headers: Mapping[str, str], name: str) -> int:
    """The sequence that a header holds; 0 without that header.

    Raises:
        InvalidInput: it holds something else.
    """
    value = headers.get(name, "0")
    if not _SEQUENCE.fullmatch(value):
        raise InvalidInput(f"header {name}: {value[:80]!r}; expected a sequence of the history")
    return int(value)


def parse_headers(raw: bytes) -> dict[str, str]:
    """A block of headers with its ``NATS/1.0`` line, whose rest, if any, is ``Status`` and ``Description``."""
    first, *lines = raw.decode(errors="replace").split("\r\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    if first[9:12].isdigit():
        headers |= {"Status": first[9:12], "Description": first[12:].strip()}
    return headers


def size(headers: Mapping[str, str]) -> int:
    """Bytes that the headers take on the wire, which count towards the server's maximum payload."""
    return len("NATS/1.0\r\n\r\n") + sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items())
