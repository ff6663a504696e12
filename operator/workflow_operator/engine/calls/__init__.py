"""The host calls: what a script may ask for. A new one is a file here, its test, and its line in a table below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workflow_operator.engine.calls.call import (
    AsyncKind,
    Call,
    Function,
    Http,
    Request,
    Run,
    Timer,
    Wait,
    identity,
    must_give_way,
)
from workflow_operator.engine.calls.fetch import FETCH, FETCH_SYNC, FETCH_SYNC_EFFECT
from workflow_operator.engine.calls.finish import FINISH
from workflow_operator.engine.calls.policy import Policy
from workflow_operator.engine.calls.sleep import SLEEP
from workflow_operator.engine.calls.step import STEP
from workflow_operator.engine.calls.timers import SLEEP as STEP_SLEEP
from workflow_operator.engine.calls.timers import SLEEP_UNTIL
from workflow_operator.engine.calls.transition import TRANSITION
from workflow_operator.engine.calls.wait import WAIT
from workflow_operator.javascript.host import Forms

CALLS: Final[Mapping[str, Call]] = {call.name: call for call in (TRANSITION, FINISH, SLEEP, FETCH_SYNC)}
"""Those for whose answer a script waits."""
ASYNC_CALLS: Final[Mapping[str, AsyncKind]] = {kind.name: kind for kind in (STEP, STEP_SLEEP, SLEEP_UNTIL, WAIT, FETCH)}
"""Those that give it a promise."""
EFFECTS: Final[Mapping[str, Request]] = {kind.name: kind for kind in (FETCH, FETCH_SYNC_EFFECT)}
"""What an attempt of a step may do, by the name of the call."""
FORMS: Final = Forms(
    takes={call.name: call.take for call in (*CALLS.values(), *ASYNC_CALLS.values())},
    markers=frozenset(name for name, call in CALLS.items() if call.marker),
)
"""What a sandbox may ask for, as the pool has to know it."""

__all__ = [
    "ASYNC_CALLS",
    "CALLS",
    "EFFECTS",
    "FORMS",
    "AsyncKind",
    "Call",
    "Function",
    "Http",
    "Policy",
    "Request",
    "Run",
    "Timer",
    "Wait",
    "identity",
    "must_give_way",
]
