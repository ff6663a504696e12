"""Calls that the script does not wait for: what is told, what is answered, and who may tell it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.polling import eventually
from tests.javascript.sandbox import START_MS, job, plain, returned, run
from tests.javascript.taken import CALL, END, LOG, TOLD, Taken
from workflow_operator.engine.calls import FORMS
from workflow_operator.history.errors import CpuLimit, EngineCrash, Timeout
from workflow_operator.javascript.host import ASKED, HostCall, Job, Limits, LogLine, Returned, SandboxPool
from workflow_operator.javascript.host.process import SandboxProcess
from workflow_operator.javascript.host.told import NotExpected, Told
from workflow_operator.javascript.worker.answers import Answers
from workflow_operator.javascript.worker.wire import encode

NOW_MS = START_MS + 60_000


class Clock:
    """Of seconds; goes on by what a test adds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- the sandbox's side

ASKS = b'{"kind":"call","name":"fetch","line":1}'
MARKER = b'{"kind":"call","name":"transition","line":1}'
BLOCKING = b'{"kind":"call","name":"sleep","line":1}'


def shown(told: tuple[bytes, bytes] | None) -> int:
    assert told is not None
    message, answer = (json.loads(text) for text in told)
    assert message["time_ms"] == answer["time_ms"]
    assert (message["kind"], message["line"], answer["kind"], answer["value"]) == ("call", 1, "answer", None)
    return int(message["time_ms"])


def test_recorded_calls_are_answered_first_whatever_they_are() -> None:
    answers = Answers([5, 9, 7], 1, NOW_MS, Clock())
    assert [shown(answers.told(call)) for call in (MARKER, BLOCKING, BLOCKING)] == [5, 9, 7]
    assert answers.told(BLOCKING) is None
    assert shown(answers.told(MARKER)) == NOW_MS


@pytest.mark.parametrize(
    ("now_ms", "passed", "expected"),
    [
        (NOW_MS, 0.0, NOW_MS),
        (NOW_MS, 0.0009, NOW_MS),
        (NOW_MS, 2.5, NOW_MS + 2500),
        # A history of clocks that were set: its time stands still until the clock has passed it.
        (START_MS - 1000, 0.5, START_MS),
        (START_MS - 1000, 1.25, START_MS + 250),
    ],
)
def test_time_passes_only_at_what_is_told(now_ms: int, passed: float, expected: int) -> None:
    clock = Clock()
    answers = Answers([], START_MS, now_ms, clock)
    clock.now += passed
    assert shown(answers.told(MARKER)) == expected
    clock.now -= 10  # No such clock does that; if one did, time would not go back.
    assert shown(answers.told(MARKER)) == expected


def test_after_an_answer_time_goes_on_from_there() -> None:
    clock = Clock()
    answers = Answers([], START_MS, NOW_MS, clock)
    clock.now += 100
    answers.answered(b'{"kind":"answer","time_ms":%d,"value":null}' % (NOW_MS + 3000))
    clock.now += 0.25
    assert shown(answers.told(MARKER)) == NOW_MS + 3250
    answers.answered(b'{"kind":"throw","time_ms":%d,"name":"E","message":"m"}' % (NOW_MS + 4000))
    clock.now += 0.25
    assert shown(answers.told(MARKER)) == NOW_MS + 4250


def test_an_answer_that_holds_a_value_is_the_executors() -> None:
    answers = Answers([START_MS + 1, ASKED, START_MS + 3], START_MS, NOW_MS, Clock())
    assert shown(answers.told(MARKER)) == START_MS + 1
    assert answers.repeating
    assert answers.told(ASKS) is None
    answers.answered(b'{"kind":"answer","time_ms":%d,"value":{"status":200}}' % (START_MS + 2))
    assert shown(answers.told(MARKER)) == START_MS + 3
    assert not answers.repeating


# --- the executor's side


def asks(name: str, time_ms: int | None = None) -> HostCall:
    return HostCall(name, {}, 1, time_ms=time_ms)


RUN = replace(job(""), now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("recorded", "passed", "call", "expected"),
    [
        ([], 0.0, asks("transition", NOW_MS), True),
        ([], 0.0, asks("finish", NOW_MS), True),
        ([], 0.0, asks("sleep"), True),
        ([], 0.0, asks("transition"), False),
        ([], 0.0, asks("sleep", NOW_MS), False),
        # Behind the executor's clock a sandbox may be, before what Date showed not.
        ([], 0.0, asks("transition", START_MS), True),
        ([], 0.0, asks("transition", START_MS - 1), False),
        ([], 0.0, asks("transition", NOW_MS + 1000), True),
        ([], 0.0, asks("transition", NOW_MS + 1001), False),
        ([], 2.0, asks("transition", NOW_MS + 3000), True),
        ([], 2.0, asks("transition", NOW_MS + 3001), False),
        ([7], 0.0, asks("transition", 7), True),
        ([7], 0.0, asks("sleep", 7), True),
        ([7], 0.0, asks("sleep"), False),
        ([7], 0.0, asks("transition", 8), False),
        ([7], 0.0, asks("transition", NOW_MS), False),
        ([ASKED], 0.0, asks("fetch"), True),
        ([ASKED], 0.0, asks("fetch", NOW_MS), False),
    ],
)
def test_what_a_sandbox_may_tell(recorded: Sequence[int], passed: float, call: HostCall, expected: bool) -> None:
    told = Told(replace(RUN, answered_ms=recorded), FORMS.markers, 50.0)
    if expected:
        told.check(call, 50.0 + passed)
    else:
        with pytest.raises(NotExpected, match=call.name):
            told.check(call, 50.0 + passed)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([asks("transition", NOW_MS + 5), asks("transition", NOW_MS + 5)], True),
        ([asks("transition", NOW_MS + 5), asks("transition", NOW_MS + 4)], False),
        ([asks("finish", NOW_MS), asks("transition", NOW_MS)], True),
        ([asks("finish", NOW_MS), asks("finish", NOW_MS)], False),
        ([asks("sleep"), NOW_MS + 60_000, asks("transition", NOW_MS + 60_500)], True),
        ([asks("sleep"), NOW_MS + 60_000, asks("transition", NOW_MS + 59_999)], False),
        ([asks("sleep"), NOW_MS + 60_000, asks("transition", NOW_MS + 61_001)], False),
        # Who is ahead gets no further by an answer that cannot be before what was told.
        ([asks("transition", NOW_MS + 900), asks("sleep"), NOW_MS + 900, asks("transition", NOW_MS + 1000)], True),
        ([asks("transition", NOW_MS + 900), asks("sleep"), NOW_MS + 900, asks("transition", NOW_MS + 1001)], False),
        # It is no debt: an answer that is much later is where the script goes on.
        ([asks("transition", NOW_MS + 900), asks("sleep"), NOW_MS * 2, asks("transition", NOW_MS * 2)], True),
        # The clock of the machine is far behind what the history shows.
        ([asks("sleep"), NOW_MS * 2, asks("transition", NOW_MS * 2), asks("sleep"), 5, asks("transition", 6)], True),
    ],
)
def test_the_times_of_one_run(steps: Sequence[HostCall | int], expected: bool) -> None:
    told = Told(RUN, FORMS.markers, 50.0)

    def follow() -> None:
        for step in steps:
            if isinstance(step, int):
                told.answered(step, 50.0)
            else:
                told.check(step, 50.0)

    if expected:
        follow()
    else:
        with pytest.raises(NotExpected):
            follow()


# --- both, over a socket

integration = pytest.mark.integration


def stamped(time_ms: int = NOW_MS, **changed: Any) -> dict[str, Any]:
    return {**TOLD, "time_ms": time_ms, **changed}


@integration
async def test_what_is_told_needs_no_answer_and_does_not_wait_for_being_read(taken: Taken) -> None:
    await taken.begin(RUN)
    taken.say(stamped(), LOG, stamped(), END)
    assert [type(await taken.session.next()) for _ in range(4)] == [HostCall, LogLine, HostCall, Returned]
    assert taken.session.clean


@integration
@pytest.mark.parametrize(
    "told",
    [
        [stamped(START_MS - 1)],
        [stamped(NOW_MS + 3_600_000)],
        [stamped(-1)],
        [stamped(10**30)],
        [{**stamped(), "time_ms": float(NOW_MS)}],
        [{**stamped(), "time_ms": str(NOW_MS)}],
        [TOLD],
        [{**CALL, "time_ms": NOW_MS}],
        [stamped(NOW_MS + 9), stamped(NOW_MS + 8)],
        [stamped(name="finish", arguments={"output": 1}), stamped(name="finish", arguments={"output": 2})],
        [stamped(name="ended", arguments={})],
    ],
    ids=str,
)
async def test_a_sandbox_that_tells_what_none_tells_is_ended(taken: Taken, told: list[dict[str, Any]]) -> None:
    await taken.begin(RUN)
    taken.say(*told)

    async def follow() -> None:
        for _ in told:
            await taken.session.next()

    with pytest.raises(EngineCrash, match="never sends"):
        await follow()
    assert not taken.session.clean


@integration
async def test_what_is_told_renews_the_processor_limit_once_its_event_is_recorded(
    taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = 0.0
    monkeypatch.setattr(SandboxProcess, "cpu_seconds", lambda _: used)
    await taken.begin(replace(RUN, limits=Limits(cpu_seconds=5)))
    taken.say(stamped())
    await taken.session.next()
    # While the executor records it, the script goes on, and may tell of more events than have been read.
    used = 100.0
    taken.say(LOG, stamped())
    await taken.session.next()
    await taken.session.next()
    used = 200.0
    taken.say(LOG)
    assert await taken.session.next() == LogLine("info", "x")
    used = 209.0
    with pytest.raises(CpuLimit, match="after transition in line 1"):
        await taken.session.next()


@integration
async def test_what_was_told_renews_the_processor_limit_also_while_nobody_could_read_it(
    taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = 0.0
    monkeypatch.setattr(SandboxProcess, "cpu_seconds", lambda _: used)
    await taken.begin(replace(RUN, limits=Limits(cpu_seconds=5)))
    taken.say(LOG)
    await taken.session.next()
    # The loop stood still while it computed, told of an event, and computed again.
    used = 9.0
    taken.say(stamped())
    await eventually(lambda: taken.process.channel._due)
    assert isinstance(await taken.session.next(), HostCall)


@integration
async def test_who_tells_without_end_waits_for_being_read(taken: Taken) -> None:
    await taken.begin(RUN)
    frame = encode(stamped())
    sent = 0
    taken.end.setblocking(False)
    for _ in range(1000):
        with suppress(BlockingIOError):
            while True:
                sent += taken.end.send(frame)
        await asyncio.sleep(0)
    # What the kernel holds, and a read or two.
    assert sent < 2 * 1024 * 1024
    await taken.session.next()


async def told_by(pool: SandboxPool, what: Job) -> tuple[list[HostCall], Any]:
    async with pool.session("told") as session:
        calls = []
        await session.begin(what)
        while not isinstance(message := await session.next(), Returned):
            assert isinstance(message, HostCall)
            calls.append(message)
            if message.wants_answer:
                await session.answer(None, NOW_MS + 60_000)
        return calls, message.output.load()


DATES = """
function main() {
  const seen = [Date.now()];
  for (let i = 0; i < 3; i++) { transition(f, i); seen.push(Date.now()); spend(); seen.push(Date.now()) }
  sleep(1);
  seen.push(Date.now());
  finish(1);
  seen.push(Date.now());
  return seen
}
function f() {}
function spend() { let x = 0; for (let i = 0; i < 3e5; i++) x += i % 7 }"""


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
async def test_date_moves_with_what_is_told_and_shows_the_same_in_a_replay(pool: SandboxPool) -> None:
    what = replace(RUN, script=DATES)
    calls, seen = await told_by(pool, what)
    first, second, third, asleep, end = [call.time_ms for call in calls]
    assert (asleep, [call.name for call in calls]) == (None, ["transition"] * 3 + ["sleep", "finish"])
    assert seen == [START_MS, first, first, second, second, third, third, NOW_MS + 60_000, end]
    assert first is not None
    assert NOW_MS <= first < NOW_MS + 60_000
    # Each computes for some milliseconds.
    assert sorted({first, second, third}) == [first, second, third]
    recorded = [first, second, third, NOW_MS + 60_000, end]
    for known in range(6):
        later = replace(what, answered_ms=recorded[:known], now_ms=NOW_MS + 3_600_000)
        again, shown = await told_by(pool, later)
        assert [plain(call) for call in again] == [plain(call) for call in calls]
        assert [call.time_ms for call in again][:known] == recorded[:known]
        assert shown[: min(2 * known + 1, 7)] == seen[: min(2 * known + 1, 7)]
        assert known < 5 or shown == seen


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_script_told_arrives_before_the_limit_that_ends_it(pool: SandboxPool) -> None:
    script = "function main() {\n transition(f, 1)\n log('on')\n for (;;) {}\n}\nfunction f() {}"
    async with pool.session("told") as session:
        result = await run(session, job(script, limits=Limits(wall_seconds=0.3)))
    assert (len(result.calls), result.texts) == (1, ["on"])
    assert isinstance(result.error, Timeout)
    assert "after transition in line 2" in result.error.message


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
async def test_a_run_left_in_the_middle_takes_its_process_along(pool: SandboxPool) -> None:
    async with pool.session("left") as session:
        await session.begin(replace(RUN, script="function main() { for (;;) transition(f, 1) } function f() {}"))
        assert isinstance(await session.next(), HostCall)
        pid = session.pid
        assert not session.clean
    async with pool.session("left") as session:
        await session.begin(replace(RUN, script="function main() { return 'mine' }"))
        assert await session.next() == returned("mine")
        assert session.pid != pid
