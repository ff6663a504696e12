"""``transition(fn, payload)``: the script moves to a function, and its payload is the run's memory."""

from __future__ import annotations

from typing import Annotated

import msgspec

from workflow_operator.engine.calls.call import Call, Run, gives_way, told
from workflow_operator.engine.outcome import Outcome
from workflow_operator.history import EventType, Json
from workflow_operator.javascript.host import NAME_CHARACTERS, Arguments, HostCall, Limits
from workflow_operator.replay import New, Unanswered


class _Arguments(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    function: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARACTERS)]
    payload: msgspec.Raw


_ARGUMENTS = msgspec.json.Decoder(_Arguments)


def take(arguments: msgspec.Raw, limits: Limits) -> Arguments:
    """{"function": str, "payload": Json}"""
    given = _ARGUMENTS.decode(arguments)
    what = f"transition: the payload for {given.function}"
    return {
        "function": given.function,
        "payload": Json.checked(memoryview(given.payload), what, limits.payload_bytes),
    }


async def handle(run: Run, found: New | Unanswered, call: HostCall) -> Outcome | None:
    step = {"function": call.arguments["function"], "memory": call.arguments["payload"]}
    await run.record(EventType.TRANSITION, found.call, **step, **told(call))
    return await gives_way(run)


TRANSITION = Call("transition", take, handle, marker=True)
