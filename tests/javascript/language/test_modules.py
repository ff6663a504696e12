"""Modules as scripts, and V8's reports: pure functions."""

from __future__ import annotations

import pytest

from workflow_operator.javascript.worker import modules, reported

EXPORTS = [
    ("export function main() {}", "       function main() {}", {"main": "main"}),
    ("export default function () {}", "function defaultExport  () {}", None),
    ("export default async function(x) {}", None, {"default": "defaultExport"}),
    ("export default function named() {}", "               function named() {}", {"default": "named"}),
    ("export default 5", "defaultExport= 5", {"default": "defaultExport"}),
    ("a;export{a as b,c};d", "a;                 d", {"b": "a", "c": "c"}),
    ("export {\n  a,\n};", "        \n    \n  ", {"a": "a"}),
    ("const s = 'export x', t = `export ${`export`} {`", None, {}),
    ("/export {/; // export\n/* export */ ({export: 1}).export", None, {}),
    ("if (x) /'/.test(y); export const main = 1", "if (x) /'/.test(y);        const main = 1", {"main": "main"}),
    ("const h = (a) / 2 / '1'; export const main = 1", None, {"main": "main"}),
    ("function f() {} /'/.exec(f); export const main = 1", None, {"main": "main"}),
    ("const o = {} / 2; 'export'", None, {}),
]


@pytest.mark.parametrize(("text", "script", "exports"), EXPORTS)
def test_exports_are_blanked_and_known(text: str, script: str | None, exports: dict[str, str] | None) -> None:
    module = modules.as_script(text)
    assert [len(line) for line in module.script.split("\n")] == [len(line) for line in text.split("\n")]
    if script is not None:
        assert module.script.rstrip() == script.rstrip()
    if exports is not None:
        assert module.exports == exports
    if exports == {}:
        assert module.script == text


@pytest.mark.parametrize(
    "text",
    ["import 'x'", "import x from 'y'", "a\nimport {b} from 'c'", "export * from 'x'", "export {a} from 'x'"],
)
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(modules.NoScript, match="bundle"):
        modules.as_script(text)


@pytest.mark.parametrize("local", ['"any text"', '"f()"', "'1'", '"a;b"'])
def test_only_variables_are_exported(local: str) -> None:
    with pytest.raises(modules.NoScript, match="expected the name of a variable"):
        modules.as_script(f"export {{ {local} as main }}")


@pytest.mark.parametrize(
    "unit", ["`", "${", "`${", "(", "{", "/", "'", '"', "\\", "export ", "export{", "/*", "//", "a/", "\n", "[/", "/["]
)
def test_any_text_is_read_once(unit: str) -> None:
    """Work is counted, not time: each character belongs to one token."""
    text = unit * (6_000 // len(unit))
    tokens = list(modules._Reader(text).tokens())
    assert "".join(token.text for token in tokens) == text


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("exports.main = 1", True),
        ("module.exports = {}", True),
        ("Object.defineProperty(exports, 'x', {})", True),
        ("if (exports.main == 1) {}", False),
        ("typeof module === 'object' ? module.exports = f() : 0", False),
        ("'object'==typeof exports&&'undefined'!=typeof module?module.exports=e():0", False),
        ("const exports_ = 1", False),
    ],
)
def test_commonjs_is_known_by_what_it_hands_out(script: str, found: bool) -> None:
    assert modules.is_commonjs(script) is found


REPORTS = [
    ("workflow.js:1: x\nthrow 'x'\n^\n", "throw 'x'", ("Error", "x", 1, 1, True)),
    ("workflow.js:2: E: m\n  b()\n  ^\n\nE: m\n    at b", "a\n  b()", ("E", "m", 2, 3, True)),
    ("<anonymous>:1: SyntaxError: bad\nlet\n^^^\n", "let", ("SyntaxError", "bad", 1, 1, False)),
    ("workflow.js:1: a\nS\n^\nb\nS\n  ^\n", "S", ("Error", "a\nS\n^\nb", 1, 3, True)),
    ("workflow.js:9: late\n", "one", ("Error", "late", 1, None, True)),
    ("prelude.js:3: TypeError: x\nsrc\n^\n", "a\nb\nc", ("TypeError", "x", None, None, False)),
    ("no report", "a", ("Error", "no report", None, None, True)),
]


@pytest.mark.parametrize(("report", "script", "expected"), REPORTS)
def test_reports_are_read(report: str, script: str, expected: tuple[object, ...]) -> None:
    assert reported.read(report, script) == expected


@pytest.mark.parametrize("unit", ["\n", " ", "^", "S\n^\n", "S\n", "(", "\\", "\ud800"])
def test_a_report_of_any_text_is_read(unit: str) -> None:
    found = reported.read("workflow.js:1: " + unit * 500_000, "S")
    assert found.line == 1
