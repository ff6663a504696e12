"""``step.do(name, config, fn)``: a function that is run until one attempt gives a value, which is recorded."""

from __future__ import annotations

from typing import Annotated

import msgspec

from workflow_operator.engine.calls.call import Function
from workflow_operator.engine.calls.policy import Backoff, Policy
from workflow_operator.engine.calls.timers import Milliseconds, Name
from workflow_operator.javascript.host import Arguments, Limits

_MOST_RETRIES = 10_000
_LONGEST_ATTEMPT_MS = 3_600_000


class _Arguments(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """As prelude/durable/step.js writes them, all defaults filled in."""

    name: Name
    limit: Annotated[int, msgspec.Meta(ge=0, le=_MOST_RETRIES)]
    delay: Milliseconds
    backoff: Backoff
    max_delay: Milliseconds = msgspec.field(name="maxDelay")
    jitter: Annotated[int, msgspec.Meta(ge=0, le=1)] | Annotated[float, msgspec.Meta(ge=0, le=1)]
    timeout: Annotated[int, msgspec.Meta(ge=1, le=_LONGEST_ATTEMPT_MS)]
    at_most_once: bool = msgspec.field(name="atMostOnce")
    max_duration: Milliseconds | None = msgspec.field(name="maxDuration", default=None)


_ARGUMENTS = msgspec.json.Decoder(_Arguments)


def take(arguments: msgspec.Raw, limits: Limits) -> Arguments:
    """{"name": str, "policy": Policy}"""
    given = _ARGUMENTS.decode(arguments)
    return {
        "name": given.name,
        "policy": Policy(
            limit=given.limit,
            delay_ms=given.delay,
            backoff=given.backoff,
            max_delay_ms=given.max_delay,
            jitter=given.jitter,
            timeout_ms=given.timeout,
            at_most_once=given.at_most_once,
            max_duration_ms=given.max_duration,
        ),
    }


def policy(arguments: Arguments) -> Policy:
    found = arguments["policy"]
    assert isinstance(found, Policy)
    return found


STEP = Function("step.do", take, policy)
