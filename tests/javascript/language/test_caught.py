"""Transitions whose functions threw while the script went on: what the next message tells of them."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.javascript.sandbox import job, run
from workflow_operator.history import Caught, CaughtStep
from workflow_operator.javascript.host import HostCall, Returned, Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


def threw(*steps: str | tuple[str, str], more: int = 0) -> Caught:
    given = [(step, None) if isinstance(step, str) else step for step in steps]
    return Caught(steps=tuple(CaughtStep(function=name, error=error) for name, error in given), more=more)


FAILS = "\nfunction fails() { throw new TypeError('no') }\nfunction ok() {}\nfunction passes() { transition(fails, 1) }"
ASYNC = (
    FAILS + "\nasync function rejects() { throw new TypeError('no') }\nasync function late() { await null; throw 1 }"
)

# What each call tells, and at last the return.
TOLD = [
    ("function main() { try { transition(fails, 1) } catch {} transition(ok, 1) }", [None, threw("fails"), None]),
    ("function main() { try { transition(fails, 1) } catch {} sleep(0); sleep(5); sleep(5) }", [None, threw("fails"), None, None]),
    ("function main() { try { transition(fails, 1) } catch {} finish(1) }", [None, threw("fails"), None]),
    ("function main() { finish(1); try { transition(fails, 1) } catch {} finish(2) }", [None, None, threw("fails")]),
    ("function main() { try { transition(fails, 1) } catch {} }", [None, threw("fails")]),
    ("function main() { try { transition(passes, 1) } catch {} }", [None, None, threw("fails", "passes")]),
    ("function main() { transition(ok, 1); try { fails() } catch {} return transition(ok, 1) }", [None, None, None]),
    ("function main() { try { transition() } catch {} try { transition(1, 1) } catch {} }", [None]),
    ("async function main() { try { await transition(rejects, 1) } catch {} sleep(1) }", [None, threw(("rejects", "TypeError: no")), None]),
    ("async function main() { return transition(rejects, 1).catch(() => 1) }", [None, threw(("rejects", "TypeError: no"))]),
    ("async function main() { try { await transition(async function text() { throw 'text' }, 1) } catch {} }", [None, threw(("text", '"text"'))]),
    # It has somebody who awaits it by then: nobody tells.
    ("async function main() { try { await transition(late, 1) } catch {} }", [None, None]),
    (
        "function main() { try { transition(deep, 11) } catch {} }\nfunction deep(n) { if (n === 0) throw 1; transition(deep, n - 1) }",
        [*[None] * 12, threw(*["deep"] * 8, more=4)],
    ),
    (
        "async function main() { try { await transition(long, 1) } catch {} }\nasync function long() { throw new Error('x'.repeat(999)) }",
        [None, threw(("long", "Error: " + "x" * 193))],
    ),
    # What the script can reach has no effect, and is not run.
    (
        "function main() { Map.prototype.get = JSON.stringify = () => { throw 1 }; try { transition(fails, 1) } catch {} sleep(1) }",
        [None, threw("fails"), None],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("script", "told"), TOLD, ids=[str(number) for number in range(len(TOLD))])
async def test_what_threw_is_told_with_what_the_script_does_next(
    session: Session, script: str, told: list[Caught | None]
) -> None:
    await session.begin(job(script + ASYNC))
    found: list[Caught | None] = []
    while isinstance(message := await session.next(), HostCall):
        found.append(message.caught)
        if message.wants_answer:
            await session.answer(None, 0)
    assert isinstance(message, Returned)
    assert [*found, message.caught] == told


async def test_a_run_of_0_2_0_does_not_look_into_what_was_thrown(session: Session) -> None:
    script = """async function main() { try { await transition(f, 1) } catch {} sleep(looked ? 9 : 1) }
    let looked = false
    async function f() { throw { get message() { looked = true } } }"""
    assert (await run(session, replace(job(script), lenient=True))).calls[1] == HostCall(
        "sleep", {"seconds": 1}, 1, 65, threw("f")
    )


LOST = [
    ("function main() {\n  return transition(fails, 1)\n}\nfunction fails() {\n  throw 'text' }", ("Error", "text", 5, 3)),
    ("function main() {\n  return transition(fails, 1)\n}\nfunction fails() {\n  throw { a: 1 } }", ("Error", '{"a":1}', 5, 3)),
    ("function main() {\n  transition(fails, 1)\n}\nfunction fails() {\n  null.x }", ("TypeError", "Cannot read properties of null (reading 'x')", 5, 8)),
    ("function main() {\n  transition(fails, 1)\n}\nasync function fails() {\n  throw 'text' }", ("Error", "text (in a promise that was not awaited)", 5, 3)),
    ("async function main() {\n  transition(fails, 1)\n}\nasync function fails() {\n  await null; throw new Error('m') }", ("Error", "m (in a promise that was not awaited)", 5, 21)),
]  # fmt: skip


@pytest.mark.parametrize(("script", "failure"), LOST, ids=[str(number) for number in range(len(LOST))])
async def test_what_nobody_catches_keeps_its_place_and_is_not_hidden(
    session: Session, script: str, failure: tuple[str, str, int | None, int | None]
) -> None:
    assert (await run(session, script)).failure() == failure


async def test_a_transition_gives_what_its_function_gave_at_the_end_of_the_stack_too(session: Session) -> None:
    script = """let bad = 0, ran = false, gave = 0
    function main() { down(); return [bad, gave] }
    function down() {
      try { down() } catch {}
      if (gave > 20) return
      ran = false
      try { transition(f, 1).catch(() => {}); gave++ } catch { if (ran) bad++ }
    }
    async function f() { ran = true; throw [[[[[[[[{ get a() { return [[[[{}]]]] } }]]]]]]]] }"""
    assert (await run(session, script)).returned() == [0, 21]
