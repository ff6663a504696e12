"""What a script can call, and what comes back."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

import json

import pytest

from tests.javascript.sandbox import START_MS, job, plain, returned, run
from workflow_operator.javascript.host import HostCall, Limits, Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_transition_records_before_its_function_runs_and_returns_its_value(session: Session) -> None:
    script = """
    function main(input) {
      log("before")
      return transition(second, {given: input, when: new Date(0)})
    }
    function second(payload) { log("in second", payload); return payload }"""
    result = await run(session, job(script, input_json='{"a": [1]}'))
    payload = {"given": {"a": [1]}, "when": "1970-01-01T00:00:00.000Z"}
    [call] = result.calls
    assert (call.name, call.arguments, call.line) == ("transition", {"function": "second", "payload": payload}, 4)
    assert result.texts == ["before", "in second " + json.dumps(payload, separators=(",", ":"))]
    assert result.returned() == payload


async def test_a_transition_hands_over_a_copy(session: Session) -> None:
    script = "function main() { const p = {n: 1}; transition(f, p); return p.n } function f(p) { p.n = 2 }"
    assert (await run(session, script)).returned() == 1


async def test_finish_gives_null_and_does_not_stop_the_script(session: Session) -> None:
    result = await run(session, "function main() { return [finish({a: 1}), finish()] }")
    assert [call.arguments for call in result.calls] == [{"output": {"a": 1}}]
    assert result.returned() == [None, None]


async def test_sleep_asks_only_for_a_positive_number(session: Session) -> None:
    result = await run(session, "function main() { sleep(0); sleep(-1); return typeof sleep(3) }")
    assert [call.arguments for call in result.calls] == [{"seconds": 3}]
    assert result.returned() == "undefined"


async def test_a_host_call_that_throws_can_be_caught(session: Session) -> None:
    await session.begin(
        job("function main() { try { sleep(1) } catch (e) { return [e.name, e.message, e instanceof Error] } }")
    )
    assert isinstance(await session.next(), HostCall)
    await session.throw("Unreachable", "no \ud800 way", START_MS + 1)
    assert await session.next() == returned(["Unreachable", "no \ufffd way", True])


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 1024, 32767, 32768, 32769, 70000, 250_000])
async def test_values_of_every_size_cross_unchanged(session: Session, size: int) -> None:
    text = ("aé€😀" * (size // 4 + 1))[:size]
    await session.begin(job("function main(i) { return transition(f, i).length } function f(i) { finish(i); return i }",
                            input_json=json.dumps(text), limits=Limits(payload_bytes=4 * 1024 * 1024)))  # fmt: skip
    for key in ("payload", "output"):
        call = await session.next()
        assert isinstance(call, HostCall)
        assert plain(call).arguments[key] == text
    assert await session.next() == returned(len(text.encode("utf-16-le")) // 2)


@pytest.mark.parametrize(
    ("call", "name", "message"),
    [
        ("transition(f)", "TypeError", "transition: expected 2 arguments, a function and its payload, got 1"),
        ("transition(f, 1, 2)", "TypeError", "transition: expected 2 arguments, a function and its payload, got 3"),
        ("transition('f', 1)", "TypeError", "transition: expected a function as first argument, got a value of type string"),
        ("transition(null, 1)", "TypeError", "transition: expected a function as first argument, got null"),
        ("transition(() => 1, 1)", "TypeError", "transition: expected a named function as first argument, got one without a name"),
        ("transition(f, f)", "NotSerializable", "transition: the payload for f is a function: it has no JSON form; leave it out"),
        ("transition(f, {a: 1n})", "NotSerializable", "transition: the payload for f holds a BigInt at a: convert it with Number() or String()"),
        ("finish(Symbol())", "NotSerializable", "finish: the output is a symbol: use a string"),
        ("sleep(1.5)", "TypeError", "sleep: expected a whole number of seconds, got 1.5"),
        ("sleep('1')", "TypeError", "sleep: expected a whole number of seconds, got a value of type string"),
        ("sleep()", "TypeError", "sleep: expected a whole number of seconds, got undefined"),
        ("sleep(({}).interval)", "TypeError", "sleep: expected a whole number of seconds, got undefined"),
        ("sleep(1e12)", "RangeError", "sleep: expected at most 3153600000 seconds (100 years), got 1000000000000"),
        ("transition(Object.defineProperty(() => 1, 'name', {value: 'n'.repeat(257)}), 1)", "TypeError", "transition: expected a function whose name has at most 256 characters, got one of 257"),
        ("transition(function* steps() {}, 1)", "TypeError", "transition: expected a function or an async function, steps is a generator function (function*)"),
        ("transition(async function* steps() {}, 1)", "TypeError", "transition: expected a function or an async function, steps is an async generator function (async function*)"),
        ("transition({*steps() {}}.steps.bind(), 1)", "TypeError", "transition: expected a function or an async function, bound steps is a generator function (function*)"),
        ("sleep(Infinity)", "TypeError", "sleep: expected a whole number of seconds, got Infinity"),
        *((f"{name}('x')", "NotAvailable", f"{name} is not available in this version") for name in (
            "getSecret", "getSecrets", "setVariable", "getVariable", "execSubflow",
            "generateAction", "execService", "waitForEvent")),
        ("step('x')", "TypeError", "step: expected one of its members, use step.do(name, fn)"),
    ],
)  # fmt: skip
async def test_a_wrong_call_names_itself_and_what_was_expected(
    session: Session, call: str, name: str, message: str
) -> None:
    result = await run(session, f"function f() {{}}\nfunction main() {{\n  {call}\n}}")
    assert result.failure() == (name, message, 3, 3)


@pytest.mark.parametrize(
    ("call", "texts"),
    [
        ("print()", [""]),
        ("print('plain', 1, null, undefined, true)", ["plain 1 null undefined true"]),
        ("print({a: [1]}, [])", ['{"a":[1]} []']),
        ("print(1n, Symbol('s'), () => 1)", ["1 Symbol(s) () => 1"]),
        ("const o = {}; o.o = o; print(o)", ['{"o":[Circular]}']),
        (
            "print(Object.create(null), {toJSON() { throw 1 }, toString() { throw 2 }})",
            ['{} {"toJSON":[Function toJSON],"toString":[Function toString]}'],
        ),
        ("print(new TypeError('bad'))", ["TypeError: bad\n    at main (workflow.js:1:25)"]),
        ("print('\\ud800', '😀', {'\\udfff': 1})", ['\ufffd 😀 {"\\udfff":1}']),
        ("log(1); console.log(2); console.info(3)", ["1", "2", "3"]),
    ],
)
async def test_printing(session: Session, call: str, texts: list[str]) -> None:
    result = await run(session, f"function main() {{ {call} }}")
    assert result.returned() is None
    assert result.texts == texts
    assert {line.level for line in result.lines} == {"info"}


async def test_console_has_levels(session: Session) -> None:
    result = await run(session, "function main() { console.debug(1); console.warn(2); console.error(3) }")
    assert [(line.level, line.text) for line in result.lines] == [("debug", "1"), ("warn", "2"), ("error", "3")]


async def test_long_lines_are_cut_and_many_are_dropped(session: Session) -> None:
    limits = Limits(log_line_bytes=64, log_lines=2)
    result = await run(
        session,
        job("function main() { log('é'.repeat(33)); log('short'); log(3); log(4); sleep(1); log(5) }", limits=limits),
    )
    told = "more than 2 log lines: dropped until the next call"
    assert result.texts == ["é" * 32 + " ... [line cut]", "short", told, "5"]


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("2006-01-02T15:04:05Z07:00", "2023-11-14T22:13:20Z"),
        ("Mon Jan _2 15:04:05 2006", "Tue Nov 14 22:13:20 2023"),
        ("Mon Jan _2 15:04:05 MST 2006", "Tue Nov 14 22:13:20 UTC 2023"),
        ("02 Jan 06 15:04 -0700", "14 Nov 23 22:13 +0000"),
        ("Monday, 02-Jan-06 15:04:05 MST", "Tuesday, 14-Nov-23 22:13:20 UTC"),
        ("3:04PM", "10:13PM"),
        ("03:4:5 pm", "10:13:20 pm"),
        ("1/2/2006", "11/14/2023"),
        ("January Janet Mon Month", "November Janet Tue Month"),
        ("002 __2 _2006", "318 318 _2023"),
        ("05.000 05,000000 05.999999", "20.123 20,123000 20.123"),
        ("-07 -07:00 -07:00:00 -070000 Z0700 Z07 Z070000", "+00 +00:00 +00:00:00 +000000 Z Z Z"),
        ("5.0001", "20.0011"),
        ("", ""),
        ("day é 😀", "day é 😀"),
    ],
)
async def test_go_layouts(session: Session, layout: str, text: str) -> None:
    result = await run(session, f"function main() {{ return [now().unix(), now().format({json.dumps(layout)})] }}")
    assert result.returned() == [START_MS // 1000, text]


async def test_id_and_input(session: Session) -> None:
    assert (await run(session, "function main(i) { return [id(), typeof i] }")).returned() == [
        "instance-1",
        "undefined",
    ]


ENTRIES = [
    ("function main() { return 1 } function state() { return 2 }", None, 1),
    ("const flow = {state: 'go'}; function go() { return 3 } function stateA() { return 4 }", None, 3),
    ("var flow = {state: 'go'}; const go = () => 5", None, 5),
    ("function other() {} function stateB() { return 6 } function stateA() { return 7 }", None, 6),
    ("const stateA = function () { return 8 }; function helper() {}", None, 8),
    ("let custom = async () => 9; function main() { return 0 }", "custom", 9),
    ("class A { static main() {} }; globalThis.made = function () { return 10 }", "made", 10),
    ("async function main() { await null; return 11 }", None, 11),
    ("function* ignored() {} const main = () => ({then: 12})", None, {"then": 12}),
    ("'use strict'; function main() { return this === undefined ? 13 : 0 }", None, 13),
    ("function main() { return this === globalThis ? 14 : 0 }", None, 14),
    ("function main() { return undefinedLater } var undefinedLater = 15; // comment at the end", None, 15),
    ("function $tate() { return 16 } function été() { return 17 }", "été", 17),
]  # fmt: skip


@pytest.mark.parametrize(("script", "entrypoint", "output"), ENTRIES)
async def test_entry(session: Session, script: str, entrypoint: str | None, output: object) -> None:
    assert (await run(session, job(script, entrypoint=entrypoint))).returned() == output


@pytest.mark.parametrize(
    ("script", "entrypoint", "message"),
    [
        ("function a() {} const b = () => 1", None, "no entry function: expected main, flow.state or a name that begins with state; its top-level functions: a, b"),
        ("function a() {}", "main", "the entry function main is not defined in the script; its top-level functions: a"),
        ("const main = 1; const flow = {state: 'nothing'}", None, "the entry function nothing is not defined in the script; its top-level functions: none"),
        ("", "a; while(true) {}", "the entry function a; while(true) {} is not defined in the script; its top-level functions: none"),
        ("", "class", "the entry function class is not defined in the script; its top-level functions: none"),
    ],
)  # fmt: skip
async def test_a_missing_entry_is_named(session: Session, script: str, entrypoint: str | None, message: str) -> None:
    assert (await run(session, job(script, entrypoint=entrypoint))).failure() == ("ReferenceError", message, None, None)
