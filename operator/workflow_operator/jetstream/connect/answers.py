"""What JetStream answers to a publish."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from workflow_operator.history.errors import Unavailable

# Wrong last sequence: of the subject, and while another append to it is on its way through the replicas.
OUTDATED = frozenset({10071, 10164})
TOO_LARGE = 10054


@dataclass(frozen=True, slots=True)
class Answer:
    """The sequence stored at, or the code and words of the refusal."""

    sequence: int = 0
    error: int = 0
    description: str = ""


def read_answer(data: bytes) -> Answer:
    """Read an answer.

    Raises:
        Unavailable: it is none of a JetStream server; the message may or may not be stored.
    """
    try:
        answer = msgspec.json.decode(data)
        if error := answer.get("error"):
            return Answer(error=int(error.get("err_code") or error["code"]), description=error.get("description", ""))
        return Answer(sequence=int(answer["seq"]))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Unavailable(f"JetStream: an answer that cannot be read: {data[:80]!r}") from error
