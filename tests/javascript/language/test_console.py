"""Log lines tell what a person needs, and never end a run."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

import pytest

from tests.javascript.sandbox import run
from workflow_operator.javascript.host import Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

LINES = [
    ("console.log('%s has %d items', 'cart', 2)", ["cart has 2 items"]),
    (
        "console.log('%i %f %j %o %O %% %c!', 2.7, '3.5', {a: 1}, [1], {b: 'x'}, 'color: red', 'rest')",
        ['2 3.5 {"a":1} [1] {"b":"x"} % ! rest'],
    ),
    ("console.log('%i %i %f %d', '12.5px', -2.7, '1.5e', '3px')", ["12 -2 1.5 NaN"]),
    ("console.log('%d %s', Symbol('s'))", ["NaN %s"]),
    ("console.log('100%', 5)", ["100% 5"]),
    ("log('%s', 1)", ["%s 1"]),
    ("console.error(new Error('told'))", ["Error: told\n    at main (workflow.js:1:33)"]),
    (
        "console.error(Object.assign(new Error('a', {cause: new TypeError('b')}), {status: 502}))",
        ["Error: a\n    at main (workflow.js:1:47)\nstatus: 502\ncaused by TypeError: b (line 1, column 70)"],
    ),
    ("console.log({reason: new RangeError('nested')})", ['{"reason":[RangeError: nested]}']),
    ("console.log(new Map([['k', {v: 1}]]), new Set([1, 'a']))", ['Map(1) {"k" => {"v":1}} Set(2) {1,"a"}']),
    (
        "console.log({n: NaN, u: undefined, f() {}, b: 1n, s: Symbol('q'), d: new Date(0), r: /x/g, p: Promise.resolve(), t: new Uint8Array(2)})",
        [
            '{"n":NaN,"u":undefined,"f":[Function f],"b":1n,"s":Symbol(q),"d":"1970-01-01T00:00:00.000Z","r":/x/g,"p":Promise {},"t":Uint8Array(2) [0,0]}'
        ],
    ),
    (
        "console.group('outer'); console.log('in\\nside'); console.group(); console.log(1); console.groupEnd(); console.groupEnd(); console.groupEnd(); console.log(2)",
        ["outer", "  in\n  side", "    1", "2"],
    ),
    (
        "console.table([{a: 1, b: 'x'}, {a: 22}]); console.table('no table')",
        ['(index) | a  | b\n0       | 1  | "x"\n1       | 22 | ', "no table"],
    ),
    (
        "console.count(); console.count('c'); console.count(); console.countReset(); console.count()",
        ["default: 1", "c: 1", "default: 2", "default: 1"],
    ),
    (
        "console.time('t'); sleep(1); console.timeLog('t', 'x'); console.timeEnd('t'); console.timeEnd('t')",
        ["t: 1000 ms x", "t: 1000 ms"],
    ),
    (
        "console.assert(true, 'no'); console.assert(1 === 2, 'is %s', 'so'); console.assert()",
        ["Assertion failed: is so", "Assertion failed"],
    ),
    ("console.trace('here')", ["Trace: here\n    at main (workflow.js:1:27)"]),
    ("console.dir({a: {b: {c: {d: {e: 1}}}}}, {depth: 1})", ['{"a":{"b":{"c":{"d":[Object]}}}}']),
    ("console.clear(); console.profile(); console.profileEnd(); console.timeStamp(); console.dirxml(1)", ["1"]),
    ("console.log(new Proxy({}, {ownKeys() { throw 1 }}), {get x() { throw 2 }})", ['[object] {"x":undefined}']),
    ("const round = {}; round.list = [round]; console.log(round)", ['{"list":[[Circular]]}']),
    ("console.log(Array(300).fill(0))", ["[" + "0," * 100 + "... 200 more]"]),
]


@pytest.mark.parametrize(("call", "texts"), LINES, ids=[call[:60] for call, _ in LINES])
async def test_lines(session: Session, call: str, texts: list[str]) -> None:
    result = await run(session, f"function main() {{ {call} }}")
    assert result.returned() is None
    assert result.texts == texts


async def test_levels(session: Session) -> None:
    script = "function main() { console.debug(1); console.info(2); console.warn(3); console.error(4); console.assert(false) }"
    assert [line.level for line in (await run(session, script)).lines] == ["debug", "info", "warn", "error", "error"]


async def test_methods_can_be_taken_out_and_given_anything(session: Session) -> None:
    script = """function main() {
      const bad = [undefined, null, Symbol('s'), 1n, new Proxy({}, {get() { throw 1 }, ownKeys() { throw 1 }}), {toString() { throw 1 }}, Object.create(null)]
      let calls = 0
      for (const name of Object.getOwnPropertyNames(console)) {
        const method = console[name]
        method()
        for (const value of bad) { method(value); method('%s %d %o', value, value, value); method(value, value); calls++ }
      }
      return calls
    }"""
    assert (await run(session, script)).returned() > 100
