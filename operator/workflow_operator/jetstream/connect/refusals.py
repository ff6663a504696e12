"""Whether JetStream stores what it is sent, while the connection is well: it may be full, read-only, or have lost a
stream. Pure; the clock is passed in."""

from __future__ import annotations

import json
from typing import Final

from workflow_operator.jetstream.connect.answers import OUTDATED, TOO_LARGE

STALE_SECONDS: Final = 90.0
"""What was refused is tried again sooner than that; if it is not, nobody knows any more."""

_MAX_WORDS: Final = 300
_NO_REFUSALS: Final = OUTDATED | {TOO_LARGE}


class Refusals:
    """The last refusal of each kind of message, until one of that kind is stored."""

    def __init__(self) -> None:
        self._refused: dict[str, tuple[float, str]] = {}

    def stored(self, subject: str) -> None:
        """A message on that subject was stored."""
        if self._refused:
            self._refused.pop(_kind(subject), None)

    def refused(self, subject: str, words: str, now: float) -> None:
        """A message on that subject was refused, in JetStream's words."""
        kind = _kind(subject)
        self._refused[kind] = (now, f"JetStream refuses messages on {kind}.>: {words[:_MAX_WORDS]}")

    def forget(self) -> None:
        """Another server, perhaps: what the last one refused says nothing."""
        self._refused.clear()

    def words(self, now: float) -> str | None:
        """What is refused, and why; None while everything is stored."""
        recent = [words for at, words in self._refused.values() if now - at < STALE_SECONDS]
        return recent[0] if recent else None


def refusal_of(answer: bytes) -> str | None:
    """JetStream's words where it refused to store a message for a reason that is not the message's own.

    None too for what is no answer to a message that was to be stored.
    """
    if not answer.startswith(b'{"error"'):
        return None
    try:
        error = json.loads(answer)["error"]
        code = error.get("err_code") or error["code"]
        return None if code in _NO_REFUSALS else f"{error.get('description', '')} ({code})"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _kind(subject: str) -> str:
    """The first two parts of a subject: enough to tell the streams apart, and no name of a user's."""
    return ".".join(subject.split(".")[:2])
