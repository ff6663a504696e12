"""One rule for every value that is recorded: what JSON would lose or make null is refused, with its path."""

from __future__ import annotations

import pytest

from tests.javascript.sandbox import run
from workflow_operator.history.errors import NotSerializable, PayloadTooLarge
from workflow_operator.javascript.host import Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

NULL = "JSON turns it into null; use null, or leave it out"
NO_MEMBER = "JSON sees no member of it; give its class a toJSON()"

REFUSED = [
    ("new Map([[1, 2]])", "is a Map: use Object.fromEntries(map)"),
    ("{totals: {byDay: [new Map()]}}", "holds a Map at totals.byDay[0]: use Object.fromEntries(map)"),
    ("{'a b': {'1': new Set()}}", 'holds a Set at ["a b"]["1"]: use Array.from(set)'),
    ("[new WeakMap()]", "holds a WeakMap at [0]: it has no JSON form"),
    ("{last: new RangeError('x')}", "holds an Error at last: use String(error)"),
    ("{last: new (class Mine extends Error {})()}", "holds an Error at last: use String(error)"),
    ("{pattern: /x/}", "holds a RegExp at pattern: use String(regexp)"),
    ("[1, Promise.resolve(2)]", "holds a promise at [1]: await it, or use Promise.all"),
    ("[(function* () {})()]", "holds an iterator at [0]: use Array.from(iterator)"),
    ("[1, 2].values()", "is an iterator: use Array.from(iterator)"),
    ("(async function* () {})()", "is an async iterator: use await Array.fromAsync(iterator)"),
    ("{bytes: new Uint8Array(2)}", "holds a typed array at bytes: use Array.from(array)"),
    ("new ArrayBuffer(8)", "is an ArrayBuffer: use Array.from(new Uint8Array(buffer))"),
    ("{rate: 0 / 0}", f"holds NaN at rate: {NULL}"),
    ("[[1, -Infinity]]", f"holds -Infinity at [0][1]: {NULL}"),
    ("[1, undefined]", f"holds undefined at [1]: {NULL}"),
    ("[, 1]", f"holds undefined at [0]: {NULL}"),
    ("{when: new Date('never')}", f"holds an invalid Date at when: {NULL}"),
    ("{n: {big: 5n}}", "holds a BigInt at n.big: convert it with Number() or String()"),
    ("{s: Symbol('s'), kept: 1}", "holds a symbol at s: use a string"),
    ("{add() {}, kept: 1}", "holds a function at add: it has no JSON form; leave it out"),
    ("{cart: new (class Cart { #items = [1] })()}", f"holds an instance of Cart at cart: {NO_MEMBER}"),
    ("new (class Cart { add() {} })()", f"is an instance of Cart: {NO_MEMBER}"),
    (
        "(() => { const a = {}; a.b = [a]; return a })()",
        "holds a cycle at b[0]: JSON has no form for an object inside itself",
    ),
    ("{toJSON() { return 1n }}", "is a BigInt: convert it with Number() or String()"),
    ("{a: {toJSON() { return new Map() }}}", "holds a Map at a: use Object.fromEntries(map)"),
    ("[{toJSON() { return {b: [{}, new Set()]} }}]", "holds a Set at [0].b[1]: use Array.from(set)"),
    ("{a: {toJSON() { return 0 / 0 }}}", f"holds NaN at a: {NULL}"),
    ("{a: {toJSON() { return [undefined] }}}", f"holds undefined at a[0]: {NULL}"),
    ("{a: {toJSON() { return () => 1 }}}", "holds a function at a: it has no JSON form; leave it out"),
    ("{a: {toJSON() { const o = {}; return o.o = o }}}", "has no JSON form: Converting circular structure"),
    ("[new Number(NaN)]", f"holds NaN at [0]: {NULL}"),
]


@pytest.mark.parametrize(("value", "words"), REFUSED, ids=[value for value, _ in REFUSED])
async def test_what_json_would_lose_is_refused_with_its_path(session: Session, value: str, words: str) -> None:
    script = f"""function f() {{}}
    function main() {{
      for (const attempt of [() => transition(f, {value}), () => finish({value})]) {{
        try {{ attempt() }} catch (error) {{ log(error.name, error.message) }}
      }}
      return {{ value: {value} }}.value
    }}"""
    result = await run(session, script)
    assert result.calls == []
    assert [text.startswith(f"NotSerializable {what} {words}") for text, what in zip(
        result.texts, ("transition: the payload for f", "finish: the output"), strict=True
    )] == [True, True]  # fmt: skip
    assert isinstance(result.error, NotSerializable)
    assert result.error.message.startswith(f"the return value {words}")


TAKEN = [
    ("{when: new Date(0), gone: undefined}", {"when": "1970-01-01T00:00:00.000Z"}),
    ("new (class Point { x = 1; norm() {} })()", {"x": 1}),
    ("[null, {a: null}, [], {}, Object.create(null)]", [None, {"a": None}, [], {}, {}]),
    ("[new Number(5), new String('s'), new Boolean(false)]", [5, "s", False]),
    ("{toJSON() { return {a: 1} }}", {"a": 1}),
    ("{a: {toJSON() { return {b: undefined, c: [1]} }}, z: {toJSON() {}}}", {"a": {"c": [1]}}),
    ("[{n: 0, toJSON() { return ++this.n }}, {toJSON(key) { return key }}]", [1, "1"]),
    ("Object.assign(() => 1, {toJSON() { return 'function' }})", "function"),
    ("new Proxy({a: [1]}, {})", {"a": [1]}),
    ("(function () { return arguments })(1)", {"0": 1}),
    ("-0", 0),
]


@pytest.mark.parametrize(("value", "output"), TAKEN, ids=[value for value, _ in TAKEN])
async def test_what_json_keeps_is_recorded_as_ever(session: Session, value: str, output: object) -> None:
    result = await run(session, f"function main() {{ return transition(f, {value}) }} function f(m) {{ return m }}")
    assert result.returned() == output
    assert result.calls[0].arguments["payload"] == output


async def test_a_script_may_say_what_becomes_of_its_bigints(session: Session) -> None:
    script = "BigInt.prototype.toJSON = function () { return `${this}` }; function main() { return {n: 5n} }"
    assert (await run(session, script)).returned() == {"n": "5"}


async def test_an_undefined_payload_is_recorded_as_null_and_stays_undefined(session: Session) -> None:
    script = (
        "function main(input) { return transition(page, input?.page) } function page({size = 25} = {}) { return size }"
    )
    result = await run(session, script)
    assert result.returned() == 25
    assert result.calls[0].arguments["payload"] is None


async def test_a_value_that_multiplies_itself_is_refused_in_a_moment(session: Session) -> None:
    script = "function main() { let a = []; for (let i = 0; i < 60; i++) a = [a, a]; return a }"
    assert isinstance((await run(session, script)).error, PayloadTooLarge)


async def test_depth_is_bounded_at_the_edge(session: Session) -> None:
    nested = "function main() {{ let a = []; for (let i = 0; i < {}; i++) a = [a]; return a }}"
    assert (await run(session, nested.format(99))).error is None
    assert "nested too deeply" in str((await run(session, nested.format(100))).error)


@pytest.mark.parametrize(
    "thrown", ["new RangeError('Invalid string length')", "new TypeError('Converting circular structure to JSON')"]
)
async def test_an_error_of_ours_cannot_be_claimed(session: Session, thrown: str) -> None:
    script = f"function main() {{ return {{toJSON() {{ throw {thrown} }}}} }}"
    error = (await run(session, script)).error
    assert error is not None
    assert error.name in ("RangeError", "TypeError")
