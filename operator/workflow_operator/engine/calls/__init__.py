"""The host calls: what a script may ask for. A new one is a file here, its test, and its line in CALLS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workflow_operator.engine.calls.call import Call, Http, Run
from workflow_operator.engine.calls.fetch import FETCH
from workflow_operator.engine.calls.finish import FINISH
from workflow_operator.engine.calls.sleep import SLEEP
from workflow_operator.engine.calls.transition import TRANSITION
from workflow_operator.javascript.host import Forms

CALLS: Final[Mapping[str, Call]] = {call.name: call for call in (TRANSITION, FINISH, SLEEP, FETCH)}
FORMS: Final = Forms(
    takes={name: call.take for name, call in CALLS.items()},
    markers=frozenset(name for name, call in CALLS.items() if call.marker),
)
"""What a sandbox may ask for, as the pool has to know it."""

__all__ = ["CALLS", "FORMS", "Call", "Http", "Run"]
