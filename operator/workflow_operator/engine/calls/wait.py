"""``step.waitForEvent(name, {type, timeout})``: an event from outside, whether it comes later or has come before."""

from __future__ import annotations

from typing import Annotated

import msgspec

from workflow_operator.engine.calls.call import Wait
from workflow_operator.engine.calls.timers import Milliseconds, Name
from workflow_operator.history import TYPE_CHARACTERS
from workflow_operator.javascript.host import Arguments, Limits

_MOST_TYPES = 16


class _Arguments(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: Name
    types: Annotated[
        list[Annotated[str, msgspec.Meta(min_length=1, max_length=TYPE_CHARACTERS)]],
        msgspec.Meta(min_length=1, max_length=_MOST_TYPES),
    ]
    timeout: Milliseconds | None = None


_ARGUMENTS = msgspec.json.Decoder(_Arguments)


def take(arguments: msgspec.Raw, limits: Limits) -> Arguments:
    """{"name": str, "types": list of str, "timeout": milliseconds or None}"""
    given = _ARGUMENTS.decode(arguments)
    return {"name": given.name, "types": given.types, "timeout": given.timeout}


WAIT = Wait("step.waitForEvent", take)
