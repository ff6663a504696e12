"""Wrong and hostile scripts, all at once: each ends with a clear error of its own, and disturbs nobody."""

from __future__ import annotations

from dataclasses import dataclass
from unittest.mock import ANY

import pytest

from tests.e2e.world import History, JsonObject, World, assert_sound, drivers, key_of
from tests.fixtures.workflowruns import Kubectl
from workflow_operator.history import EventType

pytestmark = pytest.mark.e2e

GOOD = """
function main() {
  let sum = 0;
  for (let n = 1; n <= 10; n++) { sum += transition(add, n); sleep(1); }
  return sum;
}
function add(n) { return n }
"""


@dataclass(frozen=True)
class Bad:
    """A script, and the error that its object must show. ``place`` is (line, column)."""

    id: str
    script: str
    names: tuple[str, ...]
    words: str
    place: tuple[int | None, int | None] = (None, None)
    entrypoint: str | None = None

    @property
    def spec(self) -> JsonObject:
        return {"script": self.script} | ({"entrypoint": self.entrypoint} if self.entrypoint else {})


def inside(statement: str) -> str:
    return f"function main() {{\n  {statement}\n}}"


def bad(id: str, script: str, name: str, words: str, place: tuple[int | None, int | None] = (None, None)) -> Bad:  # noqa: A002
    return Bad(id, script, tuple(name.split("|")), words, place)


# Which of the two clocks strikes first is a matter of how busy the machine is.
TIME = "Timeout|CpuLimit"

TABLE = [
    bad("syntax", "let x = ;", "SyntaxError", "Unexpected token ';'", (1, 9)),
    bad("unfinished", "function main() {\n  return 1\n", "SyntaxError", "Unexpected end of input", (3, None)),
    bad(
        "import",
        "\nimport x from 'y'",
        "SyntaxError",
        "import is not available in workflow scripts: a script is one file: bundle it",
        (2, 1),
    ),
    bad("no-entry", "function helper() {}", "ReferenceError", "expected main, flow.state or a name that begins with"),
    bad("nothing", "1", "ReferenceError", "its top-level functions: none"),
    Bad(
        "wrong-entry",
        inside("return 1"),
        ("ReferenceError",),
        "the entry function nowhere is not defined in the script; its top-level functions: main",
        entrypoint="nowhere",
    ),
    bad("missing", inside("missing()"), "ReferenceError", "missing is not defined", (2, 3)),
    bad("undefined", inside("throw undefined"), "Error", "undefined", (2, 3)),
    bad("null", inside("throw null"), "Error", "null", (2, 3)),
    bad("recursion", inside("(function r() { r() })()"), "RangeError", "Maximum call stack size exceeded", (2, ANY)),
    bad(
        "steps-for-ever",
        "function main() {\n  return transition(main, 1)\n}",
        "RangeError",
        "transition: expected at most 4096 transitions inside each other: write a loop",
        (2, ANY),
    ),
    bad("loop", inside("for (;;) {}"), TIME, "the script"),
    bad("loop-with-catch", inside("for (;;) try { throw 1 } catch {}"), TIME, "the script"),
    bad("loop-in-regexp", inside("/(a+)+$/.test('a'.repeat(40) + 'b')"), TIME, "the script"),
    bad("memory", inside("const a = []; for (;;) a.push(new Array(1e6).fill(a.length))"), "MemoryLimit", "memory|heap"),
    bad(
        "memory-caught",
        inside("try { const a = []; for (;;) a.push(new Array(1e6).fill(1)) } catch { return 1 }"),
        "MemoryLimit",
        "memory|heap",
    ),
    bad(
        "memory-in-buffers",
        inside("const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1))"),
        "MemoryLimit",
        "array buffers of more than 134217728 bytes in all",
        (2, ANY),
    ),
    bad("cycle", inside("const a = {b: {}}; a.b.c = a; return a"), "NotSerializable", "the return value holds a cycle"),
    bad(
        "bigint",
        inside("return 1n"),
        "NotSerializable",
        "the return value is a BigInt: convert it with Number() or String()",
    ),
    bad("function", inside("return () => 1"), "NotSerializable", "the return value is a function"),
    bad("deep", inside("let d = 1; for (let i = 0; i < 150; i++) d = [d]; return d"), "NotSerializable", "nested"),
    bad(
        "deep-memory",
        "function f() {}" + inside("let d = 1; for (let i = 0; i < 150; i++) d = [d]; transition(f, d)"),
        "NotSerializable",
        "nested",
        (2, 53),
    ),
    bad("huge", inside("return 'x'.repeat(300000)"), "PayloadTooLarge", "300002 bytes as JSON, the cap is 262144"),
    bad("huge-message", inside("throw new Error('x'.repeat(1e6))"), "Error", "xxxx", (2, 9)),
    bad("huge-name", inside("throw {name: 'n'.repeat(1e6), message: 'said'}"), "n" * 256, "said", (2, 3)),
    bad("waits-for-ever", "async function main() { await new Promise(() => {}) }", "Deadlock", "nothing can settle"),
    bad("eval", inside("eval('1')"), "EvalError", "eval is not available in workflow scripts", (2, 3)),
    bad(
        "escape",
        inside("main.constructor.constructor('return process')()"),
        "EvalError",
        "Code generation from strings disallowed",
        (2, 20),
    ),
    bad("process", inside("process.exit(0)"), "ReferenceError", "process is not defined", (2, 3)),
    bad(
        "proxy",
        inside("throw new Proxy({}, {get() { throw 1 }, ownKeys() { throw 2 }})"),
        "Error",
        "<string conversion failed>",
        (2, 3),
    ),
    bad(
        "limit-forged",
        inside("throw Object.assign(new Error('x'), {name: 'Own name; not a reason'})"),
        "Own name; not a reason",
        "x",
        (2, 23),
    ),
    bad("surrogate", inside("throw 'half \\ud800'"), "Error", "half \ufffd", (2, 3)),
    bad(
        "not-a-function", "\ntransition(1, 2)", "TypeError", "transition: expected a function as first argument", (2, 1)
    ),
    bad(
        "json-replaced",
        "JSON.stringify = () => '{'; JSON.parse = () => { throw 1 }\n" + inside("throw new Error('still told')"),
        "Error",
        "still told",
        (3, 9),
    ),
    bad(
        "after-steps",
        "function main() {\n  transition(step, 1);\n  throw new TypeError('after a step');\n}\nfunction step() {}",
        "TypeError",
        "after a step",
        (3, 9),
    ),
]

# Hostile, but nothing is wrong with their outcome.
HARMLESS = {
    "floods-its-log": (inside("for (let i = 0; i < 20000; i++) log('flood'); return 'ok'"), "ok"),
    "prints-nothing": (inside("log(); print(); log(undefined, Symbol('x'), () => 1, 1n); return 'ok'"), "ok"),
    "poisons-prototypes": (
        inside("Object.prototype.toJSON = () => 'no'; Array.prototype.push = null; return [1]"),
        "no",
    ),
    "nul": (inside("return 'a\\u0000b'"), "a\u0000b"),
}


@pytest.fixture
def elsewhere(world: World) -> Kubectl:
    """Another namespace, with another tenant in it."""
    name = f"{world.namespace}-other"
    world.kubectl.control_plane.kubectl("create", "namespace", name)
    return Kubectl(world.kubectl.control_plane, name)


def test_bad_scripts_end_with_errors_of_their_own(world: World, elsewhere: Kubectl) -> None:
    neighbour = World(world.stack, elsewhere)
    good = {"good-1": {"script": GOOD}, "good-2": {"script": GOOD}}
    neighbour.apply(*good.items())
    world.apply(
        *good.items(),
        *((case.id, case.spec) for case in TABLE),
        *((name, {"script": script}) for name, (script, _) in HARMLESS.items()),
    )
    runs = world.ended([*good, *HARMLESS, *(case.id for case in TABLE)], within=150)
    problems = [problem for case in TABLE for problem in differences(case, runs[case.id]["status"])]
    assert not problems, "\n".join(problems)
    assert {name: runs[name]["status"].get("output") for name in HARMLESS} == {
        name: output for name, (_, output) in HARMLESS.items()
    }

    beside = [runs[name] for name in good] + list(neighbour.ended(good).values())
    histories = world.histories(map(key_of, [*runs.values(), *beside]))
    for run in beside:
        assert (run["status"]["phase"], run["status"]["output"]) == ("Complete", 55)
    for key, history in histories.items():
        assert_sound(history)
        assert all(len(drivers(part)) <= 1 for part in between_sleeps(history)), f"{key} changed hands"
    neighbour.kubectl("delete", "workflowruns", "--all")


def between_sleeps(history: History) -> list[History]:
    """The parts of a history: what gave up its slot at a sleep may wake anywhere."""
    parts: list[History] = [[]]
    for event in history:
        parts[-1].append(event)
        if event.type is EventType.WAITING:
            parts.append([])
    return parts


def differences(case: Bad, status: JsonObject) -> list[str]:
    """What the object says otherwise than it should."""
    error = status.get("error") or {}
    found = (error.get("line"), error.get("column"))
    failed = {each["type"]: each for each in status["conditions"]}.get("Failed", {})
    checks = {
        f"phase {status['phase']}": status["phase"] == "Failed",
        f"name {error.get('name')!r}, expected {case.names}": error.get("name") in case.names,
        f"message {error.get('message')!r}, expected {case.words!r}": any(
            words in error.get("message", "") for words in case.words.split("|")
        ),
        f"place {found}, expected {case.place}": found == case.place,
        f"message of Failed {failed.get('message')!r}": error.get("message", "")[:100] in failed.get("message", ""),
    }
    return [f"{case.id}: {what}" for what, well in checks.items() if not well]
