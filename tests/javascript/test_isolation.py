"""Runs see neither one another nor the real time, and no script reaches what lies under its interface."""

# ruff: noqa: E501, SIM905 - tables of scripts, one a line

from __future__ import annotations

import pytest

from tests.javascript.sandbox import START_MS, job, run
from workflow_operator.history.errors import NotSerializable, Timeout
from workflow_operator.javascript.host import Limits, Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

USE_EVERYTHING = """
function second(p) { log(p); sleep(1); return [p, Date.now(), now().format("2006")] }
function main(input) {
  hostile()
  finish({a: 1})
  return transition(second, {input})
}
"""
EXPECTED = [{"input": {"a": 1}}, START_MS + 3000, "2023"]

COUNTER = "let leaks = 0; const leak = () => { leaks++ };"

# Each calls `leak` when it gets hold of something.
POLLUTIONS = {
    "toJSON": "Object.prototype.toJSON = undefined; String.prototype.toJSON = function () { leak(this) }",
    "descriptors": "for (const k of ['get', 'set', 'value', 'writable']) Object.prototype[k] = 1",
    "replies": "for (const k of ['kind', 'value', 'time_ms', 'limits', 'then']) Object.prototype[k] = 'throw'",
    "setters": """for (const k of ['name', 'stack', 'output', 'yearDay', '0', '1', 'length'])
        Object.defineProperty(Object.prototype, k, {set(v) { leak(v) }, configurable: true})""",
    "array index": "Object.defineProperty(Array.prototype, '0', {set(v) { leak(v) }, get() { leak(this) }})",
    "iterators": """Array.prototype[Symbol.iterator] = function () { leak(this) }
        Object.getPrototypeOf([].values()).next = () => { leak('next') }
        Array.prototype[Symbol.iterator] = Array.prototype.values""",
    "functions": """for (const k of ['call', 'apply', 'bind'])
        Object.defineProperty(Function.prototype, k, {value() { leak(this, arguments) }})""",
    "JSON": "JSON.stringify = JSON.parse = (...a) => { leak(a) }",
    "Reflect": "Reflect.apply = Reflect.construct = Object.defineProperty = (...a) => { leak(a) }",
    "strings": """for (const k of ['charCodeAt', 'slice', 'startsWith', 'padStart', 'toString', 'valueOf'])
        String.prototype[k] = function () { leak(this) }
        String.fromCharCode = (...a) => { leak(a) }""",
    "typed arrays": """const TypedArray = Object.getPrototypeOf(Uint16Array.prototype)
        for (const k of ['length', 'buffer', 'subarray', 'constructor', Symbol.iterator])
          Object.defineProperty(TypedArray, k, {get() { leak(this) }})
        Uint16Array.prototype.__proto__ = null""",
    "promises": """Promise.prototype.then = function () { leak(this) }
        Object.defineProperty(Promise.prototype, 'constructor', {get() { leak(this) }})""",
    "dates": """for (const k of Object.getOwnPropertyNames(Date.prototype)) if (/UTC|Time$/.test(k))
        Date.prototype[k] = function () { leak(this); return 5 }
        Math.floor = () => 5""",
    "errors": """Error.prepareStackTrace = (e, frames) => { leak(frames) }
        Error.stackTraceLimit = 0; Error.captureStackTrace = () => { leak(1) }
        globalThis.Error = globalThis.TypeError = function () { leak(this) }""",
    "globals": """for (const k of ['Object', 'Array', 'String', 'Number', 'Promise', 'Map', 'WeakMap', 'Symbol', 'Uint16Array'])
        globalThis[k] = undefined""",
    "maps": "WeakMap.prototype.get = WeakMap.prototype.set = function () { leak(this) }",
    "callers": """for (const f of [transition, finish, log]) {
          try { leak(f.caller) } catch (e) { if (!(e instanceof TypeError)) leak(e) }
          try { leak(f.arguments) } catch (e) { if (!(e instanceof TypeError)) leak(e) }
        }""",
}


@pytest.mark.parametrize("name", POLLUTIONS)
async def test_a_changed_environment_changes_nothing_and_shows_nothing(session: Session, name: str) -> None:
    script = f"{COUNTER}\nfunction hostile() {{ {POLLUTIONS[name]} }}\n{USE_EVERYTHING}"
    # What was caught is counted after the fact, in the function that the transition calls.
    script = script.replace("return [p,", "log('leaks ' + leaks); return [p,")
    result = await run(session, job(script, input_json='{"a":1}'))
    assert result.returned() == EXPECTED
    assert result.texts[-1] == "leaks 0"
    assert [call.arguments for call in result.calls] == [
        {"output": {"a": 1}},
        {"function": "second", "payload": {"input": {"a": 1}}},
        {"seconds": 1},
    ]


@pytest.mark.parametrize("name", POLLUTIONS)
async def test_a_limit_is_named_in_a_changed_environment_too(session: Session, name: str) -> None:
    script = f"{COUNTER}\nfunction main() {{ {POLLUTIONS[name]}\n try {{ finish(1n) }} finally {{ log('leaks ' + leaks) }} }}"
    result = await run(session, script)
    assert type(result.error) is NotSerializable
    assert result.texts == ["leaks 0"]


@pytest.mark.parametrize("name", POLLUTIONS)
async def test_the_next_run_starts_afresh(session: Session, name: str) -> None:
    await run(session, f"{COUNTER} var mine = 1\nfunction main() {{ {POLLUTIONS[name]} }}")
    script = USE_EVERYTHING + "function hostile() { if (typeof mine + typeof leaks !== 'undefinedundefined') throw 1 }"
    assert (await run(session, job(script, input_json='{"a":1}'))).returned() == EXPECTED


@pytest.mark.parametrize(
    "expression",
    [
        "(() => {}).constructor('return 1')()",
        "(async () => {}).constructor('return 1')()",
        "(function* () {}).constructor('return 1')()",
        "Reflect.construct(Function, ['return 1'])()",
        "transition.constructor('return 1')()",
        "(0, eval)('1')",
    ],
)
async def test_no_code_is_made_from_strings(session: Session, expression: str) -> None:
    assert (await run(session, f"function main() {{ {expression} }}")).failure()[0] == "EvalError"


async def test_nothing_unknown_is_global(session: Session) -> None:
    names = set((await run(session, "function main() { return Object.getOwnPropertyNames(globalThis) }")).returned())
    ecmascript = set(
        "AggregateError Array ArrayBuffer AsyncDisposableStack BigInt BigInt64Array BigUint64Array Boolean DataView Date "
        "DisposableStack Error EvalError Float16Array Float32Array Float64Array Function Infinity Int16Array Int32Array "
        "Int8Array Intl Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect RegExp "
        "Set String SuppressedError Symbol SyntaxError TypeError URIError Uint16Array Uint32Array Uint8Array "
        "Uint8ClampedArray WeakMap WeakSet decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval "
        "globalThis isFinite isNaN parseFloat parseInt undefined unescape console".split()
    )
    interface = set(
        "transition finish sleep id now log print fetch fetchSync getSecret getSecrets setVariable getVariable "
        "execSubflow generateAction execService step uuid waitForEvent".split()
    )
    web = set(
        "self global crypto queueMicrotask setTimeout setInterval setImmediate clearTimeout clearInterval XMLHttpRequest "
        "WebSocket EventSource Worker".split()
    )
    assert names - {"main"} == ecmascript | interface | web


async def test_globals_can_be_redeclared(session: Session) -> None:
    script = "const log = 1; let fetch = 2; function print() { return 3 } class step {}; function main() { return log + fetch + print() }"
    assert (await run(session, script)).returned() == 6


CLOCKS = """
function main() {
  const before = [Date.now(), +new Date(), new Date().toISOString(), Date(), now().unix()]
  sleep(1)
  class Own extends Date {}
  const f = new Intl.DateTimeFormat()
  return [before, Date.now(), +new Own(), new Date(2020, 0).toISOString(), Date.UTC(2020), Date.length, Date.name,
    new Date() instanceof Date, new Date().constructor === Date, f.format(), f.formatToParts().length,
    f.resolvedOptions().timeZone, f.resolvedOptions().locale, new Date().getTimezoneOffset(), (1234.5).toLocaleString(),
    String(new Date(NaN).getTime()), Date.parse('2020-01-01'), [3, 1].map(Math.random)]
}"""


async def test_time_locale_and_chance_are_given(session: Session) -> None:
    first = (await run(session, CLOCKS)).returned()
    assert first == (await run(session, CLOCKS)).returned()
    iso = "2023-11-14T22:13:20.123Z"
    text = "Tue Nov 14 2023 22:13:20 GMT+0000 (Coordinated Universal Time)"
    assert first[0] == [START_MS, START_MS, iso, text, START_MS // 1000]
    assert first[1:16] == [START_MS + 1000, START_MS + 1000, "2020-01-01T00:00:00.000Z", 1577836800000, 7, "Date",
        True, True, "11/14/2023", 5, "UTC", "en-US", 0, "1,234.5", "NaN"]  # fmt: skip
    assert first[16] == 1577836800000


async def test_random_numbers_follow_the_seed_and_are_even(session: Session) -> None:
    script = "function main() { const r = []; for (let i = 0; i < 2000; i++) r.push(Math.random()); return r }"
    numbers = (await run(session, script)).returned()
    assert len(set(numbers)) == 2000
    assert all(0 <= number < 1 for number in numbers)
    assert 0.47 < sum(numbers) / 2000 < 0.53
    other = job(script)
    other = type(other)(**{**other.__dict__, "seed": 43 << 32})
    assert (await run(session, other)).returned() != numbers


async def test_endless_microtasks_end_by_timeout(session: Session) -> None:
    script = "function main() { const again = () => Promise.resolve().then(again); again(); return 1 }"
    result = await run(session, job(script, limits=Limits(wall_seconds=0.3)))
    assert isinstance(result.error, Timeout)
