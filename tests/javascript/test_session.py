"""The executor's side of the exchange, with a sandbox process that somebody else has taken over."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.fakes.polling import eventually
from tests.javascript.sandbox import job, returned
from tests.javascript.taken import CALL, END, FAILED, LOG, READY, TOLD, Taken
from workflow_operator.history.errors import CpuLimit, EngineCrash, HostLimit, MemoryLimit, PayloadTooLarge, Thrown
from workflow_operator.javascript.host import HostCall, Limits, LogLine
from workflow_operator.javascript.host import envelope as envelope_module
from workflow_operator.javascript.host.guard import LoopBudget
from workflow_operator.javascript.host.messages import Exit
from workflow_operator.javascript.host.process import SandboxProcess
from workflow_operator.javascript.worker.wire import frame

pytestmark = pytest.mark.integration


async def test_a_run_from_begin_to_end(taken: Taken) -> None:
    await taken.begin()
    taken.say(LOG, CALL)
    assert await taken.session.next() == LogLine("info", "x")
    assert await taken.session.next() == HostCall("sleep", {"seconds": 1}, 1, 1)
    await taken.session.answer(None, 1)
    taken.say(END)
    assert await taken.session.next() == returned(1)
    assert taken.session.clean


@pytest.mark.parametrize("late", [LOG, END, CALL, TOLD, READY, {"kind": "spent"}], ids=str)
async def test_who_speaks_after_the_end_is_not_used_again(taken: Taken, late: dict[str, Any]) -> None:
    await taken.begin()
    taken.say(END)
    assert await taken.session.next() == returned(1)
    taken.say(late)
    await taken.arrived()
    assert not taken.session.clean
    with pytest.raises(EngineCrash, match="between two runs"):
        await taken.session.begin(job(""))


@pytest.mark.parametrize("early", [LOG, END, CALL], ids=lambda early: early["kind"])
async def test_who_speaks_while_a_call_is_unanswered_is_ended(taken: Taken, early: dict[str, Any]) -> None:
    await taken.begin()
    taken.say(CALL)
    await taken.session.next()
    taken.say(early)
    await taken.arrived()
    with pytest.raises(EngineCrash, match="waits for an answer"):
        await taken.session.answer(None, 1)
    assert not taken.session.clean


@pytest.mark.parametrize(
    "message", [READY, {"kind": "other"}, {**CALL, "name": "dig"}, {**LOG, "level": "loud"}, {**END, "more": 1}]
)
async def test_what_is_not_expected_ends_the_run(taken: Taken, message: dict[str, Any]) -> None:
    await taken.begin()
    taken.say(message)
    with pytest.raises(EngineCrash, match="never sends"):
        await taken.session.next()
    assert not taken.session.clean


@pytest.mark.parametrize(
    "first", [b"{}", b"[]", b'{"kind":"ready"}', b'{"kind":"ready","pid":1}', b"\xff", b"9" * 5000]
)
async def test_who_is_not_ready_is_not_used(taken: Taken, first: bytes) -> None:
    await taken.session.begin(job(""))
    taken.say_raw(frame(first))
    with pytest.raises(EngineCrash, match="ready"):
        await taken.session.next()


async def test_frames_are_bounded_by_the_limits_of_the_job(taken: Taken) -> None:
    await taken.begin(job("", limits=Limits(payload_bytes=1024 * 1024)))
    saying = asyncio.create_task(asyncio.to_thread(taken.say, {**END, "output": "x" * 1_000_000}))
    assert len((await taken.session.next()).output) == 1_000_002  # type: ignore[union-attr]
    await saying
    await taken.session.begin(job("", limits=Limits(payload_bytes=1024)))
    taken.say_raw((16 * 1024 * 1024).to_bytes(4, "big"))
    with pytest.raises(EngineCrash, match="16777216 bytes"):
        await taken.session.next()


async def test_a_large_frame_may_be_read_together_with_the_first_words(taken: Taken) -> None:
    await taken.session.begin(job(""))
    large = LOG | {"text": "x" * 200_000}
    taken.say(READY, large, END)
    assert isinstance(await taken.session.next(), LogLine)
    assert await taken.session.next() == returned(1)


async def test_no_large_frame_before_the_first_job(taken: Taken) -> None:
    taken.say_raw((70_000).to_bytes(4, "big"))
    await taken.session.begin(job(""))
    taken.process.ended(Exit(0))
    with pytest.raises(EngineCrash):
        await taken.session.next()
    assert "70000 bytes" in str(taken.process.channel.error)


async def test_values_and_lines_are_held_to_the_limits(taken: Taken) -> None:
    limits = Limits(payload_bytes=100, log_lines=3)
    await taken.begin(job("", limits=limits))
    taken.say(LOG, LOG, LOG, LOG, CALL)
    for _ in range(4):
        assert isinstance(await taken.session.next(), LogLine)
    assert isinstance(await taken.session.next(), HostCall)
    await taken.session.answer(None, 1)
    taken.say(LOG, LOG, LOG, LOG, LOG)
    for _ in range(4):
        assert isinstance(await taken.session.next(), LogLine)
    with pytest.raises(EngineCrash, match="more than 3 log lines"):
        await taken.session.next()


async def test_a_value_over_the_cap_ends_the_process(taken: Taken) -> None:
    await taken.begin(job("", limits=Limits(payload_bytes=100)))
    taken.say({**END, "output": "x" * 200})
    with pytest.raises(PayloadTooLarge, match="202 bytes"):
        await taken.session.next()
    assert not taken.session.clean


@pytest.mark.parametrize(
    ("error", "kind", "clean"), [("Thrown", Thrown, True), ("MemoryLimit", MemoryLimit, False), ("Other", Thrown, True)]
)
async def test_only_a_throw_leaves_the_process_fit(
    taken: Taken, error: str, kind: type[Exception], clean: bool
) -> None:
    await taken.begin()
    taken.say({**FAILED, "error": error})
    with pytest.raises(kind):
        await taken.session.next()
    assert taken.session.clean is clean


async def test_a_spent_process_ends_its_run_and_takes_no_other(taken: Taken) -> None:
    await taken.begin()
    taken.say({"kind": "spent"}, END)
    assert await taken.session.next() == returned(1)
    assert not taken.session.clean


async def test_a_process_is_spent_once(taken: Taken) -> None:
    await taken.begin()
    taken.say({"kind": "spent"}, {"kind": "spent"}, END)
    with pytest.raises(EngineCrash, match="never sends"):
        await taken.session.next()


async def test_who_goes_on_speaking_is_held_to_the_processor_limit(
    taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = 0.0
    monkeypatch.setattr(SandboxProcess, "cpu_seconds", lambda _: used)
    await taken.begin(job("", limits=Limits(cpu_seconds=5)))
    taken.say(LOG)
    assert await taken.session.next() == LogLine("info", "x")
    used = 9.0
    taken.say(LOG)
    with pytest.raises(CpuLimit):
        await taken.session.next()


async def test_what_a_process_used_until_it_was_ready_is_not_the_runs(
    taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SandboxProcess, "cpu_seconds", lambda process: 0.0 if process.pid is None else 1000.0)
    await taken.session.begin(job(""))
    taken.say(READY)
    end = asyncio.create_task(taken.session.next())
    await eventually(lambda: taken.session.pid is not None)
    taken.say(END)
    assert await end == returned(1)


async def test_a_job_with_more_memory_than_the_process_was_made_for_is_refused(taken: Taken) -> None:
    with pytest.raises(ValueError, match="134217728"):
        await taken.begin(job("", limits=Limits(memory_bytes=1 << 30)))


async def test_the_executor_holds_the_processor_limit_too(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    used = 0.0
    monkeypatch.setattr(SandboxProcess, "cpu_seconds", lambda _: used)
    monkeypatch.setattr("workflow_operator.javascript.host.session._LOOK_SECONDS", 0.01)
    await taken.begin(job("", limits=Limits(cpu_seconds=5)))
    taken.say(CALL)
    await taken.session.next()
    used = 100.0
    await taken.session.answer(None, 1)
    running = asyncio.create_task(taken.session.next())
    await asyncio.sleep(0.05)
    assert not running.done()
    used = 109.0
    with pytest.raises(CpuLimit, match=r"5 s of processor time .*SCRIPT_CPU_SECONDS.*after sleep in line 1"):
        await running


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_a_run_that_costs_the_loop_too_much_ends(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = envelope_module.parse

    def slow(*arguments: Any) -> Any:
        spin(0.3)
        return parse(*arguments)

    monkeypatch.setattr(envelope_module, "parse", slow)
    await taken.begin()

    async def drive() -> None:
        while True:
            taken.say(LOG)
            await taken.session.next()
            await asyncio.sleep(0)
            lines.append(1)

    lines: list[int] = []
    with pytest.raises(HostLimit, match="1 s of computing within 10 s"):
        await taken.session.guarded(drive)
    # It fills again while a busy machine lets us wait.
    assert 3 <= len(lines) < 50
    assert not taken.session.clean


async def test_the_watchdog_breaks_off_what_makes_the_loop_stand_still(
    taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_operator.javascript.host.guard.STILL_SECONDS", 0.3)
    monkeypatch.setattr("workflow_operator.javascript.host.guard._LOOK_SECONDS", 0.05)
    monkeypatch.setattr(envelope_module, "parse", lambda *_: spin(3600))
    await taken.begin()
    taken.say(LOG)
    with pytest.raises(HostLimit):
        await taken.session.guarded(taken.session.next)
    assert taken.killed == ["1"]


async def test_a_run_that_made_the_loop_stand_still_is_not_told_to_have_crashed(
    taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_operator.javascript.host.guard.STILL_SECONDS", 0.3)
    monkeypatch.setattr("workflow_operator.javascript.host.guard._LOOK_SECONDS", 0.05)
    await taken.begin()
    taken.say(LOG)

    async def drive() -> None:
        await taken.session.next()
        # Of the executor's own doing, where nothing is broken off.
        spin(1.5)
        await taken.session.next()

    with pytest.raises(HostLimit):
        await taken.session.guarded(drive)
    assert taken.killed == ["1"]


async def test_steps_that_are_short_are_left_alone(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_operator.javascript.host.guard.STILL_SECONDS", 0.3)
    monkeypatch.setattr("workflow_operator.javascript.host.guard._LOOK_SECONDS", 0.05)
    await taken.begin()

    async def drive() -> None:
        for _ in range(100):
            spin(0.009)
            await asyncio.sleep(0)
        taken.say(END)
        assert await taken.session.next() == returned(1)

    await taken.session.guarded(drive)
    assert taken.killed == []


async def test_guarded_work_can_be_cancelled_and_told_errors(taken: Taken) -> None:
    seen: list[str] = []

    async def drive() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "never"

    task = asyncio.create_task(taken.session.guarded(drive))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert seen == ["cancelled"]

    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("told")

    with pytest.raises(LookupError, match="told"):
        await taken.session.guarded(fails)


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        # Seconds, bytes, and when.
        ([(0.009, 0, 0.0)] * 10_000, True),
        ([(0.1, 256 * 1024, 0.0)] * 10_000, True),
        ([(0.3, 100, 0.0)] * 3, True),
        ([(0.3, 100, 0.0)] * 4, False),
        ([(0.3, 100, 0.0)] * 3 + [(0.3, 100, 5.0)], True),
        ([(0.9, 0, 0.0), (0.9, 0, 10.0), (0.9, 0, 20.0)], True),
        ([(0.0, 0, 1000.0), (1.1, 0, 1000.0)], False),
    ],
)
def test_the_budget_of_the_loop(steps: list[tuple[float, int, float]], left: bool) -> None:
    budget = LoopBudget(0.0)
    assert [budget.charge(*step) for step in steps][-1] is left


async def test_who_has_sent_thousands_of_messages_gives_the_others_their_turn(taken: Taken) -> None:
    await taken.begin()
    taken.say(*[LOG] * 320, END)
    await taken.session.next()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    while await taken.session.next() != returned(1):
        pass
    task.cancel()
    assert turns >= 9
