"""What a script throws or returns wrongly, as its user reads it."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

import pytest

from tests.javascript.sandbox import job, run
from workflow_operator.history.errors import Deadlock, NotSerializable, PayloadTooLarge, ScriptError, Thrown
from workflow_operator.javascript.host import Limits, SandboxPool, Session
from workflow_operator.javascript.worker.modules import HOW_TO_BUNDLE

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

DEEP = "let d = []; for (let i = 0; i < 2000; i++) d = [d];"


def inside(statement: str) -> str:
    return f"function main() {{\n  {statement}\n}}"


THROWN = [
    (inside("throw new TypeError('bad')"), ("TypeError", "bad", 2, 9)),
    (inside("throw 'text'"), ("Error", "text", 2, 3)),
    (inside("throw 'Oh: two\\nlines'"), ("Oh", "two\nlines", 2, 3)),
    (inside("throw undefined"), ("Error", "undefined", 2, 3)),
    (inside("throw null"), ("Error", "null", 2, 3)),
    (inside("throw 42n"), ("Error", "42", 2, 3)),
    (inside("throw '\\ud800'"), ("Error", "\ufffd", 2, 3)),
    (inside("throw {code: 7, why: ['x']}"), ("Error", '{"code":7,"why":["x"]}', 2, 3)),
    (inside("throw {name: 'Mine', message: 'said'}"), ("Mine", "said", 2, 3)),
    (inside("throw [1, 2]"), ("Error", "[1,2]", 2, 3)),
    (inside("throw {get message() { throw 1 }, get name() { throw 2 }, toString() { throw 3 }}"), ("Error", '{"message":undefined,"name":undefined,"toString":[Function toString]}', 2, 3)),
    (inside("throw new Proxy({}, {get() { throw 1 }, ownKeys() { throw 2 }})"), ("Error", "<string conversion failed>", 2, 3)),
    (inside("throw Object.create(null)"), ("Error", "<string conversion failed>", 2, 3)),
    (inside("Object.freeze(Object.prototype); throw new RangeError('frozen')"), ("RangeError", "frozen", 2, 42)),
    (inside("class Own extends Error { name = 'Own' }; throw new Own('sub')"), ("Own", "sub", 2, 51)),
    (inside("const e = new Error('stackless'); e.stack = 1; throw e"), ("Error", "stackless", 2, 50)),
    (inside("null.property"), ("TypeError", "Cannot read properties of null (reading 'property')", 2, 8)),
    (inside("missing()"), ("ReferenceError", "missing is not defined", 2, 3)),
    (inside("(function r() { r() })()"), ("RangeError", "Maximum call stack size exceeded", 2, 14)),
    (inside("eval('1')"), ("EvalError", "eval is not available in workflow scripts", 2, 3)),
    (inside("new Function('return 1')"), ("EvalError", "Code generation from strings disallowed for this context", 2, 3)),
    ("async function main() {\n  await null\n  throw new Error('later')\n}", ("Error", "later", 3, 9)),
    ("async function main() { throw 'no place' }", ("Error", "no place", 1, 25)),
    ("\nthrow new Error('top')", ("Error", "top", 2, 7)),
    ("\n  throw 'top'", ("Error", "top", 2, 3)),
    ("\ntransition(1, 2)", ("TypeError", "transition: expected a function as first argument, got a value of type number", 2, 1)),
    ("//# sourceURL=evil.js\nfunction main() { throw 'named' }", ("Error", "named", 2, 19)),
    ("function main() { throw 'at:9: x\\ny\\n^' }", ("Error", "at:9: x\ny\n^", 1, 19)),
    ("let x = ;", ("SyntaxError", "Unexpected token ';'", 1, 9)),
    ("function main() {\n  return 1\n", ("SyntaxError", "Unexpected end of input", 3, None)),
    ("\nimport x from 'y'", ("SyntaxError", f"import is not available in workflow scripts: {HOW_TO_BUNDLE}", 2, 1)),
    ("const a = 1; const a = 2", ("SyntaxError", "Identifier 'a' has already been declared", 1, 20)),
]  # fmt: skip


@pytest.mark.parametrize(("script", "failure"), THROWN)
async def test_anything_can_be_thrown(session: Session, script: str, failure: tuple[object, ...]) -> None:
    result = await run(session, script)
    assert isinstance(result.error, Thrown)
    assert result.failure() == failure


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (inside("return 1n"), NotSerializable, "the return value is a BigInt: convert it with Number() or String()"),
        (inside("const a = {b: {}}; a.b.c = a; return a"), NotSerializable, "the return value holds a cycle at b.c: JSON"),
        (inside("return () => 1"), NotSerializable, "the return value is a function"),
        (inside(f"{DEEP} return d"), NotSerializable, "nested too deeply"),
        (inside("return 'x'.repeat(300000)"), PayloadTooLarge, "300002 bytes as JSON, the cap is 262144"),
        (inside("finish('é'.repeat(200000))"), PayloadTooLarge, "finish: the output has 400002 bytes"),
        (inside("return '😀'.repeat(70000)"), PayloadTooLarge, "280002 bytes as JSON"),
        ("function f() {}" + inside("transition(f, 'x'.repeat(300000))"), PayloadTooLarge, "transition: the payload for f"),
        ("async function main() { await new Promise(() => {}) }", Deadlock, "nothing can settle, before its first host call"),
        ("function f() {}\nasync function main() {\n  transition(f, 1); await new Promise(() => {}) }", Deadlock, "nothing can settle, after transition in line 3"),
        ("function main() { return {then() {}} }", Deadlock, "nothing can settle"),
    ],
)  # fmt: skip
async def test_a_wrong_value_has_a_typed_error(
    session: Session, script: str, kind: type[Exception], words: str
) -> None:
    result = await run(session, script)
    assert type(result.error) is kind
    assert words in str(result.error)


async def test_a_value_that_just_fits_is_returned(session: Session) -> None:
    limits = Limits(payload_bytes=100)
    script = "function main(n) { return '😀'.repeat(n) }"
    assert (await run(session, job(script, input_json="24", limits=limits))).returned() == "😀" * 24
    result = await run(session, job(script, input_json="25", limits=limits))
    assert (
        result.failure()[1]
        == "the return value has 102 bytes as JSON, the cap is 100 (WORKFLOW_OPERATOR_PAYLOAD_BYTES)"
    )


async def test_a_limit_error_can_be_caught_in_the_script(session: Session) -> None:
    script = inside("try { finish(1n) } catch (e) { return e.name }")
    assert (await run(session, script)).returned() == "NotSerializable"


@pytest.mark.parametrize(
    "kind",
    [kind.__name__ for kind in ScriptError.__subclasses__() if kind not in (Thrown, NotSerializable, PayloadTooLarge)]
    + ["Error", "OrderError"],
)
async def test_a_script_cannot_claim_a_limit(session: Session, kind: str) -> None:
    result = await run(session, inside(f"throw Object.assign(new Error('x'), {{name: '{kind}'}})"))
    assert isinstance(result.error, Thrown)
    name, message = result.failure()[:2]
    expected = (kind, "x") if kind in ("Error", "OrderError") else ("Error", f"{kind}: x")
    assert (name, message) == expected


@pytest.mark.parametrize("kind", ["NotSerializable", "PayloadTooLarge", "NotAvailable"])
async def test_what_was_caught_keeps_its_name_when_it_is_thrown_again(session: Session, kind: str) -> None:
    calls = {
        "NotSerializable": "finish(1n)",
        "PayloadTooLarge": "finish('x'.repeat(1e6))",
        "NotAvailable": "getSecret('x')",
    }
    result = await run(session, inside(f"try {{ {calls[kind]} }} catch (e) {{ throw e }}"))
    assert result.failure()[0] == kind


async def test_nothing_is_said_after_the_end(session: Session) -> None:
    late = "Promise.resolve().then(() => log('late'));"
    result = await run(session, f"function main() {{ {late} return 1 }}")
    assert (result.texts, result.returned()) == (["late"], 1)
    for failing in (inside(f"{late} throw 1"), f"{late} throw 1", f"{late} function other() {{}}"):
        result = await run(session, failing)
        assert result.texts == ["late"]
        assert result.error is not None
    assert (await run(session, inside("return 2"))).returned() == 2


async def test_a_process_blocked_in_a_call_is_not_used_again(pool: SandboxPool) -> None:
    script = f"function f() {{}} function main() {{ {DEEP} transition(f, d) }}"
    for _ in range(2):
        async with pool.session("deep") as session:
            assert isinstance((await run(session, script)).error, NotSerializable)
    async with pool.session("deep") as session:
        assert (await run(session, inside("return 1"))).returned() == 1
