"""What bundlers and module syntax make of a script: its entry is found, and its lines and columns stay."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

import pytest

from tests.javascript.sandbox import job, run
from workflow_operator.javascript.host import Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

WORKS = [
    ("var flow = (() => { async function run() { return 'ok' } return { default: run } })()", None),
    ("export function main() { return 'ok' }", None),
    ("// first\nexport async function main() { return 'ok' }", None),
    ("export const limit = 3\nexport const main = () => limit && 'ok'", None),
    ("export const main = async () => 'ok', other = 1", None),
    ("const run = () => 'ok'\nexport { run as main, run }", None),
    ("function start() { return 'ok' }\nexport { start as default };", None),
    ("export default function () { return 'ok' }", None),
    ("export default async function(input) { return 'ok' }", None),
    ("export default async (input) => 'ok'", None),
    ("'use strict'\nexport default { main() { return 'ok' } }", None),
    ("function begin() { return 'ok' }\nexport default begin", None),
    ("export function other() {}\nexport function go() { return 'ok' }", "go"),
    (
        "export class A { static b = /export {/ }\nexport function main() { return `export ${ {a: `}`}.a }` && 'ok' /* export */ }",
        None,
    ),
    (
        "export let a = 8 / 2 / 1, b = '\\'export'; export function main() { if (a) /export '/.test(b); return 'ok' }",
        None,
    ),
    ("exports.main = function () { return 'ok' }", None),
    ("module.exports = { main: async () => 'ok' }", None),
    ("module.exports = () => 'ok'", None),
    ("module.exports = { go: () => 'ok' }", "go"),
    (
        "'use strict'\nObject.defineProperty(exports, '__esModule', { value: true })\nexports.default = void 0\nexports.default = async () => 'ok'",
        None,
    ),
    (
        "var out = {}; Object.defineProperty(out, 'main', { get: () => main2, enumerable: true })\nmodule.exports = out\nasync function main2() { return 'ok' }\n0 && (module.exports = { main })",
        None,
    ),
    (
        "(function (root, factory) { if (typeof exports === 'object' && typeof module === 'object') module.exports = factory(); else root.lib = factory() })(self, () => ({ main: () => 'ok' }))",
        None,
    ),
    ("var app = (() => { async function main() { return 'ok' } return { main } })()", None),
    ("const flow = (() => ({ main: () => 'ok' }))()", None),
    ("const flow = { state: 'first', first: () => 'ok' }", None),
    ("globalThis.tools = { main: () => 'ok' }", None),
    # A library that looks for where it runs, in front of a plain script.
    (
        "!function (t, e) { 'object' == typeof exports && 'undefined' != typeof module ? module.exports = e() : (t = globalThis || self).when = e() }(this, () => () => 'ok')\nfunction main() { return when() }",
        None,
    ),
    (
        "var root = typeof global === 'object' && global && global.Object === Object && global || Function('return this')()\nroot.chunk = () => 'ok'\nfunction main() { return chunk() }",
        None,
    ),
]


@pytest.mark.parametrize(("script", "entrypoint"), WORKS, ids=[script[:60] for script, _ in WORKS])
async def test_the_entry_is_found(session: Session, script: str, entrypoint: str | None) -> None:
    assert (await run(session, job(script, entrypoint=entrypoint))).returned() == "ok"


FAILS = [
    ("// one\nexport function main() {\n  throw new Error('placed')\n}", ("Error", "placed", 3, 9)),
    (
        "export default async function () { null.x }",
        ("TypeError", "Cannot read properties of null (reading 'x')", 1, 41),
    ),
    ("export function main() { let x = ; }", ("SyntaxError", "Unexpected token ';'", 1, 34)),
    (
        "// one\n  export * from './steps.js'",
        ("SyntaxError", "export from another file is not available in workflow scripts: ", 2, 3),
    ),
    (
        "// one\nimport { z } from 'zod'\nexport function main() {}",
        ("SyntaxError", "import is not available in workflow scripts: ", 2, 1),
    ),
    (
        '"use strict"; (() => { async function main() {} })()',
        (
            "ReferenceError",
            "no entry function: expected main, flow.state or a name that begins with state; its top-level functions: none; "
            "a bundle must hand its functions out: export main, and bundle with esbuild --format=iife --global-name=flow",
            None,
            None,
        ),
    ),
    ("const fs = require('fs')", ("ReferenceError", "require is not defined: bundle the module", 1, 12)),
    (
        "const flow = { start() {}, stop: () => 1 }",
        (
            "ReferenceError",
            "no entry function: expected main, flow.state or a name that begins with state; its top-level functions: none; functions of flow: start, stop",
            None,
            None,
        ),
    ),
    (
        "module.exports = { begin() {} }",
        (
            "ReferenceError",
            "no entry function: expected main, flow.state or a name that begins with state; its top-level functions: none; functions of module.exports: begin",
            None,
            None,
        ),
    ),
]


@pytest.mark.parametrize(("script", "failure"), FAILS, ids=[script[:60] for script, _ in FAILS])
async def test_what_is_wrong_is_named_in_its_place(
    session: Session, script: str, failure: tuple[str, str, int | None, int | None]
) -> None:
    name, message, line, column = failure
    found = (await run(session, script)).failure()
    assert found == (name, found[1], line, column)
    assert found[1].startswith(message)


async def test_a_script_that_ran_is_not_run_again(session: Session) -> None:
    script = "log('once'); throw new SyntaxError(\"Unexpected token 'export'\") // export"
    result = await run(session, script)
    assert result.texts == ["once"]
    assert result.failure() == ("SyntaxError", "Unexpected token 'export'", 1, 20)


GENERATORS = [
    ("// one\nfunction* main() {}", "main is a generator function (function*)", 2, 1),
    ("const main = async function* () {}", "main is an async generator function (async function*)", 1, 7),
    ("const flow = { main: function* () {} }", "flow.main is a generator function (function*)", 1, 16),
    ("export default function* steps() {}", "steps is a generator function (function*)", 1, 16),
]


@pytest.mark.parametrize(("script", "what", "line", "column"), GENERATORS)
async def test_a_generator_is_no_entry(session: Session, script: str, what: str, line: int, column: int) -> None:
    expected = f"the entry {what}: expected a function or an async function"
    assert (await run(session, script)).failure() == ("TypeError", expected, line, column)
