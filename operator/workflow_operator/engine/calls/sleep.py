"""``sleep(seconds)``: the script goes on after that time, and a run that sleeps for long holds nothing meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec

from workflow_operator.engine.calls.call import Call, Run, told
from workflow_operator.engine.outcome import Outcome, parks
from workflow_operator.history import EventType
from workflow_operator.history.errors import Thrown
from workflow_operator.javascript.host import Arguments, HostCall, Limits
from workflow_operator.replay import New, Unanswered

_LONGEST_SECONDS = 100 * 365 * 24 * 3600


class _Arguments(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    seconds: Annotated[int, msgspec.Meta(gt=0)] | Annotated[float, msgspec.Meta(gt=0)]


_ARGUMENTS = msgspec.json.Decoder(_Arguments)


def take(arguments: msgspec.Raw, limits: Limits) -> Arguments:
    """{"seconds": int or float}"""
    return {"seconds": _ARGUMENTS.decode(arguments).seconds}


async def handle(run: Run, found: New | Unanswered, call: HostCall) -> Outcome | None:
    if isinstance(found, New):
        seconds = call.arguments["seconds"]
        assert isinstance(seconds, int | float)
        if seconds > _LONGEST_SECONDS:
            raise Thrown(
                "RangeError",
                f"sleep: expected at most {_LONGEST_SECONDS} seconds (100 years), got {seconds}",
                line=call.line,
            )
        fire_at = run.now() + timedelta(seconds=seconds)
        timer = await run.record(EventType.TIMER_STARTED, found.call, fire_at=fire_at, **told(call))
    else:
        timer = found.event
    assert timer.fire_at is not None
    now = run.now() if isinstance(found, New) else max(run.now(), run.slot.due)
    # From here on time passes by the clock that cannot be set back.
    remaining = (timer.fire_at - now).total_seconds()
    if parks(remaining, run.held_seconds(), run.limits, run.slot.contended()):
        return await run.park(timer.fire_at)
    await run.flush()
    await run.clock.sleep(remaining)
    await run.record(EventType.TIMER_FIRED, found.call, not_before=timer.fire_at)
    await run.flush()
    return None


SLEEP = Call("sleep", take, handle)
