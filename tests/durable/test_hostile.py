"""What scripts do wrong with step, or with all that it stands on: it is said, bounded or out of their reach."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

import json

import pytest

from tests.fixtures.driven import Driver
from tests.javascript.test_isolation import COUNTER, POLLUTIONS

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_a_thousand_steps_side_by_side_and_one_more(drive: Driver) -> None:
    script = "async function main(n) { return (await Promise.allSettled(Array.from({ length: %d }, (_, i) => step.do('row', async () => { await fetch('http://a/'); return i })))).filter((r) => r.status === 'rejected').map((r) => r.reason.name) }"
    assert (await drive(script % 1000)).output == []
    assert (await drive(script % 1002)).output == ["TooManyCalls"] * 2


async def test_the_arguments_of_all_calls_that_are_under_way_are_bounded(drive: Driver) -> None:
    script = """async function main() {
      const body = "x".repeat(250_000), send = (n) => Array.from({ length: n }, () => fetch("http://a/", { method: "POST", body }));
      const counted = async (n) => (await Promise.allSettled(send(n))).map((r) => r.status === "rejected" ? r.reason.name : "sent");
      const all = await counted(40);
      const inside = await step.do("a", () => counted(40));
      return [all, inside, await counted(2)];
    }"""
    done = await drive(script)
    most = ["sent"] * 33 + ["TooManyCalls"] * 7
    assert done.output == [most, most, ["sent"] * 2]


@pytest.mark.parametrize("name", ["a.b/c*>", "😀", "x" * 256, "__proto__", "constructor", " "])
async def test_a_name_may_be_anything(drive: Driver, name: str) -> None:
    script = f"async function main() {{ const one = {json.dumps(name)}; return [await step.do(one, (c) => c.step), await step.do(one, (c) => c.step)] }}"
    first = await drive.everywhere(script)
    assert first.output == [{"name": name, "count": 1}, {"name": name, "count": 2}]


WRONG: list[tuple[str, str]] = [
    ("step.do()", "step.do: expected a name as first argument, got undefined"),
    ("step.do('')", "step.do: expected a name of 1 to 256 characters, got one of 0"),
    ("step.do('n'.repeat(257), f)", "step.do: expected a name of 1 to 256 characters, got one of 257"),
    ("step.do('a\\nb', f)", 'step.do: expected a name without control characters, got "a\\nb"'),
    ("step.do('a')", "step.do: expected a function as last argument, got undefined"),
    ("step.do('a', {}, 5)", "step.do: expected a function as last argument, got a value of type number"),
    ("step.do('a', function* () {})", "step.do: expected a function or an async function, a is given a generator function (function*)"),
    ("step.do('a', { retry: 3 }, f)", "step.do: the second argument: expected no member retry; there are retries, timeout, atMostOnce and signal"),
    ("step.do('a', { retries: 3 }, f)", "step.do: retries: expected an object, got a value of type number"),
    ("step.do('a', { retries: { limit: -1 } }, f)", "step.do: retries.limit: expected a whole number from 0 to 10000, got -1"),
    ("step.do('a', { retries: { limit: 1.5 } }, f)", "step.do: retries.limit: expected a whole number from 0 to 10000, got 1.5"),
    ("step.do('a', { retries: { backoff: 'wild' } }, f)", 'step.do: retries.backoff: expected constant, linear or exponential, got "wild"'),
    ("step.do('a', { retries: { delay: 'soon' } }, f)", 'step.do: retries.delay: expected milliseconds as a number, or a text such as "90s", "1h 30m" or "2 days", got "soon"'),
    ("step.do('a', { timeout: 0 }, f)", "step.do: timeout: expected a time above 0 and at most 1 hour"),
    ("step.do('a', { timeout: '61m' }, f)", "step.do: timeout: expected a time above 0 and at most 1 hour"),
    ("step.do('a', { atMostOnce: 1 }, f)", "step.do: atMostOnce: expected true or false, got a value of type number"),
    ("step.do('a', { signal: {} }, f)", "step.do: expected an AbortSignal as signal, got an object"),
    ("step.sleep('a')", 'step.sleep: expected milliseconds as a number, or a text such as "90s", "1h 30m" or "2 days", got undefined'),
    ("step.sleep('a', '2 months')", 'step.sleep: expected milliseconds as a number, or a text such as "90s", "1h 30m" or "2 days", got "2 months"; for months and years use step.sleepUntil'),
    ("step.sleep('a', '101 years')", "for months and years use step.sleepUntil"),
    ("step.sleep('a', '5300 weeks')", "step.sleep: expected at most 100 years"),
    ("step.sleepUntil('a', new Date(NaN))", "step.sleepUntil: expected a Date, or milliseconds since 1970, got an invalid one"),
    ("step.sleepUntil('a', '2026')", "step.sleepUntil: expected a Date, or milliseconds since 1970, got a value of type string"),
    ("step.sleepUntil('a', 8.64e15)", "step.sleepUntil: expected a time within 100 years"),
    ("step.race([])", "step.race: expected an object of functions, got an array"),
    ("step.race({})", "step.race: expected at least one branch"),
    ("step.race({ a: 1 })", "step.race: expected a function as a, got a value of type number"),
    ("step.map(5, f)", "step.map: the items: expected an array, got a value of type number"),
    ("step.map([], { concurrency: 0 }, f)", "step.map: concurrency: expected a whole number from 1 to 1000, got 0"),
    ("step.map([])", "step.map: expected a function as last argument, got undefined"),
    ("step('a')", "step: expected one of its members, use step.do(name, fn)"),
    ("step.sendEvent('a')", "step.sendEvent is not available in this version"),
    ("AbortSignal.timeout(5)", "AbortSignal.timeout is not available in workflow scripts"),
    ("fetch()", "fetch: expected a URL as first argument, got undefined"),
    ("fetch('http://a/', { signal: 5 })", "fetch: expected an AbortSignal as signal, got a value of type number"),
    ("new AbortSignal()", "AbortSignal: use new AbortController().signal"),
]  # fmt: skip


async def test_what_is_wrong_with_a_call_is_said(drive: Driver) -> None:
    calls = ", ".join(f"() => {call}" for call, _ in WRONG)
    script = f"const f = () => 1; async function main() {{ const told = []; for (const call of [{calls}]) try {{ await call(); told.push('nothing') }} catch (e) {{ told.push(e.message) }} return told }}"
    first = await drive(script)
    for (call, expected), message in zip(WRONG, first.output, strict=True):
        assert expected in message, call
    assert first.types() == []


async def test_a_script_that_changes_what_it_can_reach_changes_nothing_of_this(drive: Driver) -> None:
    script = """async function main() {
      for (const k of ["error", "value", "kind", "time_ms", "number", "stack", "name", "step", "details", "take", "previous", "signal", "text"]) Object.prototype[k] = { evil: 1 };
      Promise.prototype.then = function () { throw new Error("patched") };
      Map.prototype.get = Map.prototype.set = () => 5; JSON.parse = JSON.stringify = () => 6; Reflect.apply = () => 7; WeakMap.prototype.get = () => 8;
      const failed = [];
      try { await step.do("c", { __proto__: null, retries: { __proto__: null, limit: 0 } }, () => { throw new RangeError("own") }) } catch (e) { failed.push(e.name, e.message) }
      return [await step.do("a", () => 7), (await fetch("http://a/")).status, failed];
    }"""
    assert (await drive.everywhere(script)).output == [7, 200, ["RangeError", "own"]]


POLLUTED = """
%s
function hostile() { %s }
async function main() {
  hostile();
  const a = await step.do("a", () => ({ x: 1 }));
  const b = (await fetch("http://a/")).status;
  const c = await step.map([1, 2], { __proto__: null, concurrency: 2 }, (x) => step.do("m", () => x * 2));
  const d = await step.race({ __proto__: null, one: (signal) => step.sleep("s", 5000, { __proto__: null, signal }), two: () => step.do("t", () => 1) });
  let e;
  try { await step.do("e", { __proto__: null, retries: { __proto__: null, limit: 1, delay: 1 } }, () => { throw new RangeError("r") }) } catch (error) { e = error.message + error.attempts }
  return [a.x, b, c[0], c[1], d.winner, e, leaks];
}
"""


# What breaks `await` itself breaks it.
@pytest.mark.parametrize("pollution", [name for name in POLLUTIONS if name != "promises"])
async def test_nothing_of_this_is_in_reach_of_a_script(drive: Driver, pollution: str) -> None:
    done = await drive(POLLUTED % (COUNTER, POLLUTIONS[pollution]))
    assert done.output == [1, 200, 2, 4, "two", "r2", 0]
