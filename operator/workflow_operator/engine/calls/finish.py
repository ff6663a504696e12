"""``finish(value)``: the run's output, whatever the script does from here on."""

from __future__ import annotations

import msgspec

from workflow_operator.engine.calls.call import Call, Run, told
from workflow_operator.history import EventType, Json
from workflow_operator.javascript.host import Arguments, HostCall, Limits
from workflow_operator.replay import New, Unanswered


class _Arguments(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    output: msgspec.Raw


_ARGUMENTS = msgspec.json.Decoder(_Arguments)


def take(arguments: msgspec.Raw, limits: Limits) -> Arguments:
    """{"output": Json}"""
    given = _ARGUMENTS.decode(arguments)
    return {"output": Json.checked(memoryview(given.output), "finish: the output", limits.payload_bytes)}


async def handle(run: Run, found: New | Unanswered, call: HostCall) -> None:
    await run.record(EventType.OUTPUT, found.call, output=call.arguments["output"], **told(call))


FINISH = Call("finish", take, handle, marker=True)
