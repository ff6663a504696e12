"""What a user reads of a failure: place, cause, fields and frames of the script alone."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

import pytest

from tests.javascript.sandbox import run
from workflow_operator.history.errors import Thrown
from workflow_operator.javascript.host import Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

BEHIND = [
    (
        "function main() {\n  try { JSON.parse('{') } catch (cause) { throw Object.assign(new Error('load', {cause}), {code: 'E_LOAD', status: 502}) }\n}",
        "load\ncode: \"E_LOAD\"\nstatus: 502\ncaused by SyntaxError: Expected property name or '}' in JSON at position 1 (line 1 column 2) (line 2, column 14)",
    ),
    (
        "function main() {\n  throw new Error('a', {cause: new Error('b', {cause: 'c'})})\n}",
        'a\ncaused by Error: b (line 2, column 32)\ncaused by "c"',
    ),
    (
        "function main() {\n  throw new AggregateError([new TypeError('x'), 7], 'all')\n}",
        "all\nerrors[0]: TypeError: x (line 2, column 29)\nerrors[1]: 7",
    ),
    (
        "throw new Error('top', {cause: new TypeError('why')})",
        "top\ncaused by TypeError: why (line 1, column 32)",
    ),
    (
        "function main() { const e = new Error('round'); e.cause = e; throw e }",
        "round\ncaused by Error: round (line 1, column 29)",
    ),
    (
        "function main() { throw Object.assign(new Error('m'), {map: new Map([['k', [1]]])}) }",
        'm\nmap: Map(1) {"k" => [1]}',
    ),
    (
        "function main() {\n  throw new SuppressedError(new Error('later'), new TypeError('first'), 'both')\n}",
        "both\nerror: Error: later (line 2, column 29)\nsuppressed: TypeError: first (line 2, column 49)",
    ),
    (
        "function main() {\n  throw {message: 'looks like one', code: 5, cause: new Error('is one')}\n}",
        "looks like one\ncode: 5\ncaused by Error: is one (line 2, column 53)",
    ),
]


@pytest.mark.parametrize(("script", "message"), BEHIND)
async def test_what_stands_behind_an_error_is_told(session: Session, script: str, message: str) -> None:
    error = (await run(session, script)).error
    assert isinstance(error, Thrown)
    assert error.message == message


@pytest.mark.parametrize("words", ["''", "'x'.repeat(900)"])
async def test_the_first_cause_of_a_long_chain_is_told(session: Session, words: str) -> None:
    script = f"""let e = new TypeError('root')
    for (let i = 0; i < 40; i++) e = new Error(`${{i}} ${{{words}}}`, {{cause: e}})
    function main() {{ throw e }}"""
    error = (await run(session, script)).error
    assert isinstance(error, Thrown)
    assert "caused by Error: 38" in error.message
    assert error.message.endswith("\n... and at last by TypeError: root (line 1, column 9)")


async def test_an_aggregate_says_how_many_errors_it_has(session: Session) -> None:
    script = (
        "function main() { throw new AggregateError(Array.from({length: 50}, (_, i) => new Error(`e${i}`)), 'many') }"
    )
    error = (await run(session, script)).error
    assert isinstance(error, Thrown)
    assert "errors: 50 in all\nerrors[0]: Error: e0" in error.message


async def test_an_aggregate_of_the_engine_has_the_place_of_its_first_error(session: Session) -> None:
    script = "async function main() {\n  return Promise.any([\n    Promise.reject(new Error('a')),\n  ])\n}"
    error = (await run(session, script)).error
    assert error is not None
    assert (error.name, error.line, error.column) == ("AggregateError", 3, 20)


async def test_the_stack_is_the_scripts_own(session: Session) -> None:
    script = "function main() {\n  return transition(outer, 1)\n}\nfunction outer() {\n  return [1].map(() => { throw new Error('deep') })\n}"
    error = (await run(session, script)).error
    assert isinstance(error, Thrown)
    assert error.stack == ("    at workflow.js:5:32\n    at outer (workflow.js:5:14)\n    at main (workflow.js:2:10)")


async def test_a_stack_shows_nothing_that_a_release_could_change(session: Session) -> None:
    script = """function main() { return transition(f, 1) }
    function f() { return [new Error('x').stack, transition.toString(), `${console.log}`, `${URL}`, `${Error}`, `${Uint8Array}`] }"""
    stack, *texts = (await run(session, script)).returned()
    assert stack == "Error: x\n    at f (workflow.js:2:28)\n    at main (workflow.js:1:26)"
    assert texts == [
        f"function {name}() {{ [native code] }}" for name in ("transition", "log", "URL", "Error", "Uint8Array")
    ]


async def test_no_function_that_a_script_can_reach_shows_the_text_of_the_prelude(session: Session) -> None:
    script = """function main() {
      const seen = new Set(), shown = []
      const todo = [['global', globalThis], ['now()', now()], ['params', new URLSearchParams('a=b')], ['pairs', new URLSearchParams('a=b').entries()],
        ['url', new URL('http://a/b')], ['encoder', new TextEncoder()], ['decoder', new TextDecoder()], ['error', new Error('x')],
        ['format', new Intl.DateTimeFormat().format], ['copy', structuredClone(new Map([[1, [new Error('y')]]]))], ['array', new Uint8Array(100)]]
      while (todo.length > 0) {
        const [name, value] = todo.pop()
        if (value === null || (typeof value !== 'object' && typeof value !== 'function') || value === main || seen.has(value)) continue
        seen.add(value)
        if (typeof value === 'function' && !Function.prototype.toString.call(value).includes('[native code]')) shown.push(name)
        for (const key of Reflect.ownKeys(value)) {
          const {value: held, get, set} = Object.getOwnPropertyDescriptor(value, key)
          for (const next of [held, get, set]) todo.push([`${name}.${String(key)}`, next])
        }
        todo.push([`${name}.__proto__`, Object.getPrototypeOf(value)])
      }
      return [seen.size > 700, shown]
    }"""
    assert (await run(session, script)).returned() == [True, []]


LONG = "/* " + "x" * 60_000 + " */ "


@pytest.mark.parametrize(
    ("statement", "offset"),
    [
        ("throw 'text'", 0),
        ("throw new Error('e')", 6),
        ("throw {}", 0),
        ("null.x", 5),
        ("missing()", 0),
        ("sleep(null)", 0),
    ],
)
@pytest.mark.parametrize("kind", ["", "async "])
async def test_a_minified_line_has_its_column(session: Session, statement: str, offset: int, kind: str) -> None:
    before = f"{LONG}{kind}function main() {{ {'await null; ' if kind else ''}"
    error = (await run(session, f"{before}{statement} }}")).error
    assert error is not None
    assert (error.line, error.column) == (1, len(before) + 1 + offset)


async def test_a_long_line_that_does_not_parse_has_its_column(session: Session) -> None:
    error = (await run(session, f"{LONG}let x = ;")).error
    assert error is not None
    assert (error.name, error.line, error.column) == ("SyntaxError", 1, len(LONG) + 9)


async def test_assignments_to_the_properties_of_error_have_no_effect(session: Session) -> None:
    script = """'use strict'
    function main() {
      const before = Error.stackTraceLimit
      Error.stackTraceLimit = 0
      Error.prepareStackTrace = () => 'mine'
      class Own extends Error {}
      const own = new Own('m')
      Object.freeze(Error)
      return [before, Error.stackTraceLimit, own.stack.split('\\n').length, own instanceof Error, Error('f') instanceof Error,
        new TypeError('t') instanceof Error, Object.getPrototypeOf(TypeError) === Error, Error.isError(own), own.constructor === Own]
    }"""
    assert (await run(session, script)).returned() == [10, 10, 2, *[True] * 6]


async def test_the_limit_of_nested_transitions_is_the_same_each_time(session: Session) -> None:
    script = """function main() { try { transition(f, 1) } catch (error) { return [error.name, error.message, depth] } }
    let depth = 0
    function f(m) { depth = m; return transition(f, m + 1) }"""
    result = await run(session, script)
    name, message, depth = result.returned()
    assert (name, depth, len(result.calls)) == ("RangeError", 4096, 4096)
    assert "write a loop" in message


async def test_transitions_in_turn_are_not_nested(session: Session) -> None:
    script = "function main() { for (let i = 0; i < 5000; i++) transition(f, i); return 'done' } function f() {}"
    assert (await run(session, script)).returned() == "done"


HINTS = [
    ("process.env", "ReferenceError", "process is not defined: a script has no process"),
    ("require('fs')", "ReferenceError", "require is not defined: bundle the module"),
    ("window.location", "ReferenceError", "window is not defined: use globalThis"),
    ("new Headers()", "ReferenceError", "Headers is not defined: use an object or a Map"),
    ("performance.now()", "ReferenceError", "performance is not defined: use Date.now()"),
    ("import('x')", "Error", "import() is not available"),
    ("setTimeout(() => 1, 5)", "NotAvailable", "setTimeout is not available in workflow scripts: use step.sleep"),
    ("new Worker('x')", "NotAvailable", "Worker is not available in workflow scripts"),
    ("crypto.randomUUID()", "NotAvailable", "crypto.randomUUID is not available in workflow scripts"),
    ("unknownThing", "ReferenceError", "unknownThing is not defined"),
]


@pytest.mark.parametrize(("expression", "name", "words"), HINTS)
async def test_what_is_not_there_says_what_to_use(session: Session, expression: str, name: str, words: str) -> None:
    error = (await run(session, f"async function main() {{ await {expression} }}")).error
    assert error is not None
    assert error.name == name
    assert words in error.message
