"""A run is run again from its history alone."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.fixtures.driven import KEY, Driver
from workflow_operator.engine import EngineLimits, rehearse
from workflow_operator.engine.driving.write import EventWriter
from workflow_operator.engine.outcome import Failed, Succeeded
from workflow_operator.history import ErrorInfo, EventType, InstanceEvent

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

RUNS = [
    ("function main() { transition(next, 1); sleep(1); return Date.now() } function next() {}", None),
    (
        "async function main() { await step.do('a', async () => { await fetch('http://a/') }); return Math.random() }",
        None,
    ),
    ("async function main() { step.sleep('left', '1 day'); await fetch('http://a/'); return 1 }", None),
    ("async function main() { step.sleep('left', 50); await step.sleep('first', 1); return 1 }", None),
    ("async function main() { await step.do('a', { retries: { limit: 0 } }, () => null.x) }", None),
    (
        "async function main() { let x = 0; await step.do('a', () => { x = 1 }); return x }",
        "the output is 1, and 0 when",
    ),
    (
        "async function main() { let x = 0; await step.do('a', () => { x = 1 }); await step.do('b' + x, () => 1) }",
        "call 1.1: the history holds step.do",
    ),
    (
        "async function main() { let x = 0; await step.do('a', () => { x = 1 }); if (!x) await step.do('b', () => 1) }",
        "asks for more when the script runs again: step.do (callCompleted, call 1.1)",
    ),
    (
        "async function main() { let x = 0; await step.do('a', () => { x = 1 }); if (x) await step.do('b', () => 1) }",
        "call 1.1: the history holds step.do",
    ),
]


@pytest.mark.parametrize(("script", "said"), RUNS)
async def test_what_a_script_keeps_outside_of_its_steps_shows(drive: Driver, script: str, said: str | None) -> None:
    done = await drive(script)
    found = await rehearse([*done.history, end(drive, done.outcome)], drive.pool, drive.clock, EngineLimits())
    assert found is None if said is None else said in (found or ""), found


def end(drive: Driver, outcome: object) -> InstanceEvent:
    writer = EventWriter(drive.clock, uuid4)
    match outcome:
        case Succeeded(output):
            return writer.event(KEY, EventType.SUCCEEDED, output=output)
        case Failed(error):
            return writer.event(KEY, EventType.FAILED, error=ErrorInfo(name=error.name, message=error.message))
    raise AssertionError(outcome)
