"""``step.sleep(name, duration)`` and ``step.sleepUntil(name, at)``: promises that are settled at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from workflow_operator.engine.calls.call import Timer
from workflow_operator.history.errors import Thrown
from workflow_operator.javascript.host import NAME_CHARACTERS, Arguments, Limits

LONGEST_MS = 100 * 365 * 24 * 3600 * 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The last one that a datetime holds, less a day for zones.
_LAST_MS = 253_402_300_799_000 - 24 * 3600 * 1000

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARACTERS)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=LONGEST_MS)]


class _Sleep(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: Name
    duration: Milliseconds


class _SleepUntil(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: Name
    at: Annotated[int, msgspec.Meta(ge=0, le=_LAST_MS)]


_SLEEP = msgspec.json.Decoder(_Sleep)
_SLEEP_UNTIL = msgspec.json.Decoder(_SleepUntil)


def take_sleep(arguments: msgspec.Raw, limits: Limits) -> Arguments:
    """{"name": str, "duration": milliseconds}"""
    given = _SLEEP.decode(arguments)
    return {"name": given.name, "duration": given.duration}


def take_sleep_until(arguments: msgspec.Raw, limits: Limits) -> Arguments:
    """{"name": str, "at": milliseconds since 1970}"""
    given = _SLEEP_UNTIL.decode(arguments)
    return {"name": given.name, "at": given.at}


def after(arguments: Arguments, now: datetime) -> datetime:
    return now + timedelta(milliseconds=_milliseconds(arguments, "duration"))


def at(arguments: Arguments, now: datetime) -> datetime:
    time = _EPOCH + timedelta(milliseconds=_milliseconds(arguments, "at"))
    if time > now + timedelta(milliseconds=LONGEST_MS):
        raise Thrown("RangeError", "step.sleepUntil: expected a time within 100 years")
    return time


def _milliseconds(arguments: Arguments, name: str) -> int:
    value = arguments[name]
    assert isinstance(value, int)
    return value


SLEEP = Timer("step.sleep", take_sleep, after)
SLEEP_UNTIL = Timer("step.sleepUntil", take_sleep_until, at)
