"""Promises that nobody awaits, and work that goes on after the return."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

import pytest

from tests.javascript.sandbox import run
from workflow_operator.history.errors import Deadlock, NotSerializable, PayloadTooLarge
from workflow_operator.javascript.host import Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

HINT = " (in a promise that was not awaited)"

LOST = [
    (
        "async function main() { work(); return 1 }\nasync function work() {\n  await null\n  throw new Error('lost')\n}",
        ("Error", "lost", 4, 9),
    ),
    ("async function main() {\n  Promise.reject(new TypeError('loose'))\n  return 1\n}", ("TypeError", "loose", 2, 18)),
    (
        "function main() {\n  [1, 2].forEach(async (n) => {\n    if (n === 2) throw new RangeError('two')\n  })\n  return 1\n}",
        ("RangeError", "two", 3, 24),
    ),
    (
        "function main() {\n  new Promise(() => { throw new Error('in an executor') })\n}",
        ("Error", "in an executor", 2, 29),
    ),
    ("function main() {\n  Promise.resolve().then(() => { throw 'text' })\n}", ("Error", "text", None, None)),
    ("async function main() { work() }\nasync function work() {\n  throw 'text'\n}", ("Error", "text", 3, 3)),
    (
        "function main() {\n  queueMicrotask(() => { null.x })\n}",
        ("TypeError", "Cannot read properties of null (reading 'x')", 2, 31),
    ),
    ("Promise.reject(new Error('at the top'))\nfunction main() { return 1 }", ("Error", "at the top", 1, 16)),
    (
        "async function main() {\n  Promise.reject(new Error('first'))\n  await new Promise(() => {})\n}",
        ("Error", "first", 2, 18),
    ),
]


@pytest.mark.parametrize(("script", "failure"), LOST, ids=[failure[1] for _, failure in LOST])
async def test_a_rejection_that_nobody_awaits_fails_the_run(
    session: Session, script: str, failure: tuple[str, str, int | None, int | None]
) -> None:
    name, message, line, column = failure
    assert (await run(session, script)).failure() == (name, message + HINT, line, column)


HANDLED = [
    "async function main() { const p = Promise.reject(1); await null; try { await p } catch { return 'ok' } }",
    "async function main() { const all = [1, 2].map(async (n) => { throw n }); await Promise.allSettled(all); return 'ok' }",
    "async function main() { work().catch(() => {}); return 'ok' }\nasync function work() { throw 1 }",
    "async function main() { const p = work(); sleep(1); return p.catch(() => 'ok') }\nasync function work() { throw 1 }",
    "async function main() { const p = Promise.reject(1); setLater(p); return 'ok' }\nasync function setLater(p) { await null; await null; p.catch(() => {}) }",
]


@pytest.mark.parametrize("script", HANDLED)
async def test_a_rejection_that_is_handled_before_the_end_is_none(session: Session, script: str) -> None:
    assert (await run(session, script)).returned() == "ok"


async def test_many_handled_rejections_hold_no_memory(session: Session) -> None:
    script = """async function main() {
      for (let i = 0; i < 20000; i++) { try { await fail() } catch {} }
      return 'ok'
    }
    async function fail() { throw 1 }"""
    assert (await run(session, script)).returned() == "ok"


async def test_the_entrys_own_failure_comes_first_and_the_other_is_told(session: Session) -> None:
    script = "async function main() {\n  Promise.reject(new Error('floating'))\n  throw new Error('mine')\n}"
    result = await run(session, script)
    assert result.error is not None
    assert (result.error.name, result.error.line) == ("Error", 3)
    assert result.error.message.startswith("mine")
    assert "not awaited: Error: floating" in result.error.message


async def test_a_fault_of_ours_keeps_its_kind(session: Session) -> None:
    script = "async function main() { late() }\nasync function late() { await null; finish('x'.repeat(300000)) }"
    assert isinstance((await run(session, script)).error, PayloadTooLarge)


async def test_promises_in_a_value_are_refused_and_their_rejection_told(session: Session) -> None:
    script = "async function main() { return [1, 0].map(async (n) => { if (n === 0) throw new RangeError('none'); return n }) }"
    error = (await run(session, script)).error
    assert isinstance(error, NotSerializable)
    assert "the return value holds a promise at [0]: await it, or use Promise.all" in error.message
    assert error.message.endswith("\nnot awaited: RangeError: none")


async def test_work_after_the_return_is_waited_for_and_counts(session: Session) -> None:
    script = """function main() {
      const done = []
      ;[1, 2].forEach(async (n) => { await null; transition(step, n); done.push(n) })
      return done
    }
    function step() {}"""
    result = await run(session, script)
    assert [call.arguments["payload"] for call in result.calls] == [1, 2]
    assert result.returned() == [1, 2]


async def test_a_promise_that_nothing_settles_is_a_deadlock(session: Session) -> None:
    assert isinstance((await run(session, "async function main() { await new Promise(() => {}) }")).error, Deadlock)


async def test_nothing_is_recorded_when_the_end_is_told(session: Session) -> None:
    script = """function main() { return {toJSON() { Promise.resolve().then(() => transition(f, 'late')); return 1 }} }
    function f() {}"""
    result = await run(session, script)
    assert [call.arguments["payload"] for call in result.calls] == ["late"]
    assert result.returned() == 1
