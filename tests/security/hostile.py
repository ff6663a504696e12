"""What a hostile tenant writes, by kind. A new kind of attack is one more function here, and every test that reads the
table has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]

# As JavaScript expressions of about 64,000 units: what a parser of lines, frames, reports or names may stumble over.
TEXTS = {
    "line-ends": r"'\n'.repeat(64000)",
    "returns": r"'\r\n'.repeat(32000)",
    "separators": r"'\u2028'.repeat(64000)",
    "blanks": "' '.repeat(64000)",
    "tabs": r"'\t'.repeat(64000)",
    "carets": "'^'.repeat(64000)",
    "parentheses": "'('.repeat(64000)",
    "backslashes": r"'\\'.repeat(64000)",
    "quotes": "'\"'.repeat(64000)",
    "brackets": "'[{'.repeat(32000)",
    "surrogates": r"'\ud800'.repeat(64000)",
    "pairs": r"'\ud83d\ude00'.repeat(32000)",
    "frames": r"'\n    at f (workflow.js:1:1)'.repeat(2300)",
    "half-frames": r"'\n    at ('.repeat(7000)",
    "markers": r"'x\n^\n'.repeat(16000)",
    "digits": "'9'.repeat(64000)",
    "colons": "':1'.repeat(32000)",
    "nul": r"'\u0000'.repeat(64000)",
}

# Where a script can put a text that the other side reads. TEXT stands for it.
PLACES = {
    "thrown": "function main() { throw TEXT }",
    "thrown-late": "async function main() { await null; throw TEXT }",
    "message": "function main() { throw new Error(TEXT) }",
    "error-name": "function main() { throw Object.assign(new Error('x'), { name: TEXT }) }",
    "stack": "function main() { throw Object.assign(new Error('x'), { stack: TEXT }) }",
    "cause": "function main() { throw new Error('x', { cause: new Error(TEXT) }) }",
    "field": "function main() { throw Object.assign(new Error('x'), { field: TEXT }) }",
    "several": "function main() { throw new AggregateError([TEXT, new Error(TEXT)], TEXT) }",
    "function-name": "function f() {} function main() { const k = TEXT; ({ [k]() { transition(f, 1) } })[k]() }",
    "step-name": "function main() { const k = TEXT; const o = { [k]() { return 1 } }; return transition(o[k], 1) }",
    "to-json": "function main() { return { toJSON() { throw new TypeError('Converting circular structure' + TEXT) }}}",
    "to-string": "function main() { throw { toString() { return TEXT } } }",
    "log": "function main() { for (let i = 0; i < 50; i++) log(TEXT) }",
    "log-error": "function main() { console.error(new Error(TEXT)); console.log('%s %o', TEXT, { k: TEXT }) }",
    "member": "function f(m) { return 1 } function main() { return transition(f, { [TEXT]: TEXT }) }",
    "output": "function main() { return TEXT }",
    "rejected": "function main() { Promise.reject(new Error(TEXT)) }",
    "long-line": "function main() { eval(TEXT) } //" + " " * 60_000,
}


@dataclass(frozen=True)
class Attack:
    """Runs that are created at once, and what they are to show."""

    name: str
    specs: dict[str, JsonObject] = field(repr=False)
    ends: bool = True
    """Whether each of them has to end by itself."""


def _runs(prefix: str, *scripts: str) -> dict[str, JsonObject]:
    return {f"{prefix}-{number}": {"script": script} for number, script in enumerate(scripts, 1)}


def texts() -> Iterator[Attack]:
    """Each hostile text at each place where the other side reads it."""
    for name, text in TEXTS.items():
        scripts = {f"{place}-{name}": {"script": script.replace("TEXT", text)} for place, script in PLACES.items()}
        yield Attack(f"texts of {name}", scripts)


def sources() -> Iterator[Attack]:
    """Scripts that are a hostile text themselves."""
    source = {
        "lines": "\n" * 60_000 + "function main() { for (let i = 0; i < 200; i++) transition(f, i) } function f() {}",
        "blanks": "function main() { throw ('x\\n^\\n').repeat(9000) }" + " " * 60_000,
        "open": "(" * 65_000,
        "templates": "`${" * 20_000,
        "names": "".join(f"function f{number}(){{}}" for number in range(3_000)),
        "comments": "/*" * 32_000,
        "slashes": "function main() { return " + "/" * 60_000 + " }",
        "export": "export " * 9_000,
        "import": "import {" * 8_000,
        "strings": "'" + "\\" * 60_000,
    }
    yield Attack("hostile sources", {f"source-{name}": {"script": text} for name, text in source.items()})


def values() -> Iterator[Attack]:
    """Legal and illegal values that cost far more than their size."""
    small = "const e = []; const v = new Array(85000).fill(e);"
    yield Attack(
        "dear values",
        _runs(
            "values",
            f"function f(v) {{ return 1 }} function main() {{ {small} for (let i = 0; i < 40; i++) transition(f, v) }}",
            f"function main() {{ {small} return v }}",
            f"function main() {{ {small} log(v); log(v); log(v) }}",
            "function f(v) { return 1 } function main() { transition(f, new Array(4.6e6).fill([])) }",
            "function main() { let d = 1; for (let i = 0; i < 5000; i++) d = [d]; return d }",
            "function main() { const o = {}; for (let i = 0; i < 30000; i++) o['k' + i] = i; return o }",
            "function main() { return new Proxy({}, { ownKeys() { for (;;) ; } }) }",
            "function main() { finish('x'.repeat(200000)); for (let i = 0; i < 1000; i++) finish('x'.repeat(200000)) }",
        )
        | {"values-input": {"script": "function main(v) { return v.length }", "input": [[]] * 80_000}},
    )


def exchange() -> Iterator[Attack]:
    """Ways into the prelude and out of its limits."""
    job = json.dumps(
        {
            "limits": {"payload_bytes": 1e12, "log_lines": 1e12, "log_line_bytes": 1e12},
            "time_ms": 5,
            "seed": [1, 2],
            "instance_id": "another",
            "input": None,
        }
    )
    getter = (
        "let n = 0; Object.defineProperty(globalThis, 'flow', { get() { return n++ === 0 ? {} : %s } });"
        "function f(x) { return x.length } function state1() { return [id(), now().unix(), %s] }"
    )
    yield Attack(
        "ways through the prelude",
        _runs(
            "exchange",
            getter % (f"'{job}'", "transition(f, 'x'.repeat(900000))"),
            getter % (f"'{job}'", "transition(f, new Array(4600000).fill([]))"),
            getter % ("main2", "1") + "function main2() { return new Promise(() => {}) }",
            "Object.defineProperty(Object.prototype, 'toJSON', { get() { return () => 'x'.repeat(1e6) } });"
            "function main() { return {} }",
            "Array.prototype.toString = String.prototype.toString = () => { throw 1 }; function main() { throw [1] }",
        ),
    )


def memory() -> Iterator[Attack]:
    yield Attack(
        "memory",
        _runs(
            "memory",
            "function main() { const a = []; for (;;) a.push(new Array(1e6).fill(a.length)) }",
            "function main() { const a = []; for (;;) a.push(new Uint8Array(1e7).fill(1)) }",
            "function main() { let s = 'x'; for (;;) { s += s; log(s.length) } }",
            "function main() { try { new ArrayBuffer(1e9) } catch (e) { return String(e) } }",
            "function main() { const m = new Map(); for (let i = 0;; i++) m.set(i, 'x'.repeat(1000)) }",
            "function main() { const a = new Uint8Array(6e7); a.constructor = undefined; const k = [];"
            " for (;;) k.push(a.slice()) }",
            "function main() { const b = new ArrayBuffer(8, { maxByteLength: { valueOf() { return 2e9 } } });"
            " b.resize(2e9) }",
        ),
    )


def promises() -> Iterator[Attack]:
    yield Attack(
        "floods of promises",
        _runs(
            "promises",
            "function main() { for (let i = 0; i < 1e6; i++) Promise.reject(i) }",
            "async function main() { await Promise.all(Array.from({ length: 1e5 }, () => Promise.reject(1))) }",
            "function main() { const f = () => Promise.reject(1).catch(f); f() }",
            "function main() { [1, 2, 3].forEach(async () => { for (;;) await null }); return 'returned' }",
            "function main() { return { then(f) { f(this) } } }",
        ),
    )


def logs() -> Iterator[Attack]:
    flood = "for (let i = 0; i < 10001; i++) log('L'.repeat(8000))"
    yield Attack("floods of log lines", _runs("logs", *[f"function main() {{ {flood} }}"] * 6))


def loops() -> Iterator[Attack]:
    yield Attack("64 sleeping loops", _runs("sleeper", *["function main() { for (;;) sleep(4) }"] * 64), ends=False)
    yield Attack("64 short sleepers", _runs("napper", *["function main() { for (;;) sleep(1) }"] * 64), ends=False)
    yield Attack("32 endless loops", _runs("loop", *["function main() { for (;;) ; }"] * 32), ends=False)
    yield Attack(
        "32 loops of steps",
        _runs("stepper", *["function f() {} function main() { for (let i = 0;; i++) transition(f, i) }"] * 32),
        ends=False,
    )
    yield Attack(
        "32 loops of microtasks",
        _runs("ticker", *["async function main() { for (;;) await null }"] * 32),
        ends=False,
    )


def objects() -> Iterator[Attack]:
    """Objects that the API server takes and that are too large, or too deep, for the operator."""
    wait = "function main() { sleep(3000000000) }"
    yield Attack(
        "large objects",
        {f"large-{number}": {"script": wait, "input": [[]] * 340_000} for number in range(4)}
        | {f"legal-{number}": {"script": wait, "input": [[]] * 85_000} for number in range(8)}
        | {"members": {"script": wait, "input": [{"": 0}] * 120_000}},
        ends=False,
    )


def attacks() -> Iterator[Attack]:
    """The whole table."""
    for kind in (texts, sources, values, exchange, memory, promises, logs, loops, objects):
        yield from kind()
