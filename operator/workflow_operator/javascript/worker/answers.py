"""The calls of a job that are answered here: what its history knows, and what only says where the script has got to.

What the history knows is told for each turn: for the script's start with the job, for all others with the turn.

Nobody waits for those. They are told with the time that Date shows from then on; the executor, which records it, checks
it: see host/told.py. Pure, but for the clock that is passed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# As prelude/calls.js writes them.
_CALL = b'{"kind":"call",'
# host/messages.ASKED: the history answers it with a value, which the executor has.
_ASKED = -1
_MARKERS = tuple(_CALL + b'"name":"%b"' % name for name in (b"transition", b"finish"))


class Answers:
    """Answers one job's calls, as long as it can.

    Args:
        recorded: what Date shows after each of the first calls (ms since 1970): the history answers these.
        time_ms: what it shows before.
        now_ms: the time at which the script goes on behind its history.
        monotonic: seconds of a clock that is never set.
    """

    def __init__(self, recorded: Sequence[int], time_ms: int, now_ms: int, monotonic: Callable[[], float]) -> None:
        self._recorded = iter(recorded)
        self._left = len(recorded)
        self._shown_ms = time_ms
        self._monotonic = monotonic
        self._goes_on_at(now_ms)

    @property
    def repeating(self) -> bool:
        """Whether the last call that was told is followed by one that the history answers."""
        return self._left > 0

    def told(self, call: bytes) -> tuple[bytes, bytes] | None:
        """The call as it is told, and the script's answer; None if the executor has to answer it."""
        if not call.startswith(_CALL):
            # An idle script asks for its next turn.
            return None
        shown = next(self._recorded, None)
        self._left -= 1
        if shown == _ASKED:
            return None
        if shown is None:
            if not call.startswith(_MARKERS):
                return None
            passed = int((self._monotonic() - self._from) * 1000)
            shown = max(self._shown_ms, self._from_ms + passed)
        self._shown_ms = shown
        message = b'%b"time_ms":%d,%b' % (_CALL, shown, call.removeprefix(_CALL))
        return message, b'{"kind":"answer","time_ms":%d,"value":null}' % shown

    def answered(self, reply: bytes) -> None:
        """Take in what the executor answered: a call, or with a turn."""
        answer: Mapping[str, Any] = json.loads(reply)
        self._shown_ms = answer["time_ms"]
        self._goes_on_at(answer.get("now_ms", answer["time_ms"]))
        if (recorded := answer.get("answered_ms")) is not None:
            self._recorded, self._left = iter(recorded), len(recorded)

    def _goes_on_at(self, now_ms: int) -> None:
        self._from_ms, self._from = now_ms, self._monotonic()
