"""A run that 0.2.0 started goes on by the rules of 0.2.0: what it recorded is recorded again in a replay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from tests.javascript.sandbox import job, run
from workflow_operator.engine.clock import shown_ms
from workflow_operator.history import decode_event
from workflow_operator.history.errors import NotSerializable, ScriptError
from workflow_operator.javascript.host import HostCall, Job, Returned, Session
from workflow_operator.replay import Recorded, Replay

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

GOLDEN = Path(__file__).parents[2] / "history" / "golden"
EVENTS = [
    decode_event(line, sequence=place, previous=place - 1)
    for place, line in enumerate((GOLDEN / "history-0.2.0-lossy.jsonl").read_bytes().splitlines(), 1)
]


async def replayed(session: Session, what: Job) -> JsonValue:
    """The output of the run whose history is EVENTS; each of its calls has its answer there."""
    replay = Replay(EVENTS)
    await session.begin(replace(what, answered_ms=[shown_ms(event.time) for event in replay.answers()]))
    while not isinstance(message := await session.next(), Returned):
        assert isinstance(message, HostCall)
        assert isinstance(replay.call(message.name, message.arguments), Recorded)
        assert not message.wants_answer
    replay.check_finished()
    return message.output.load()


async def test_what_0_2_0_recorded_of_values_that_json_loses_is_found_again(session: Session) -> None:
    what = replace(job(EVENTS[0].script or ""), lenient=EVENTS[0].rules < 1)
    assert await replayed(session, what) == {"seen": "null", "totals": {}, "steps": [{}]}


async def test_a_run_of_today_is_told_of_the_same(session: Session) -> None:
    with pytest.raises(ScriptError):
        await replayed(session, job(EVENTS[0].script or ""))


LENIENT: list[tuple[str, JsonValue]] = [
    ("function* main() { yield 1 }", {}),
    ("function main() { return [0 / 0, new Date(NaN), , () => 1] }", [None, None, None, None]),
    ("function main() { finish(new Set([1])); Promise.reject(1); return new Map() }", {}),
    ("async function main() { sleep(); return { when: { toJSON() { return new Map() } } } }", {"when": {}}),
]


@pytest.mark.parametrize(("script", "output"), LENIENT)
async def test_what_was_complete_stays_complete(session: Session, script: str, output: JsonValue) -> None:
    assert (await run(session, replace(job(script), lenient=True))).returned() == output
    assert (await run(session, job(script))).error is not None


async def test_what_0_2_0_refused_is_refused(session: Session) -> None:
    script = "function main() { const round = {}; round.round = round; return round }"
    assert isinstance((await run(session, replace(job(script), lenient=True))).error, NotSerializable)
