"""The contract with mini-racer and the V8 in it: what both engines rely on, asked of the installed version."""

from __future__ import annotations

import contextlib
from importlib.metadata import version
from typing import get_args

import pytest
from py_mini_racer import _dll

from tests.javascript.engine import Harness
from workflow_operator.javascript.worker.vm import engines, v8
from workflow_operator.javascript.worker.vm.bridge import EngineError, Fresh, OutOfMemory, Realm

pytestmark = pytest.mark.integration


@pytest.fixture(params=get_args(Fresh))
def engine(request: pytest.FixtureRequest) -> Harness:
    return Harness(request.param)


def test_the_version_is_the_one_this_was_written_for() -> None:
    assert version("mini-racer") == "0.14.1"


def test_javascript_waits_for_the_reply(engine: Harness) -> None:
    engine.recorder.reply = "reply 😀"
    assert engine.text("ask('ask 😀')") == "reply 😀"
    assert engine.recorder.asked == ["ask 😀"]


def test_telling_needs_no_reply(engine: Harness) -> None:
    engine.one(lambda realm: realm.run("tell('one'); tell(''); tell('a\\ud800b'); void 0"))
    assert engine.recorder.told == ["one", "", "a\ufffdb"]


def test_values_cross_as_this_and_as_results(engine: Harness) -> None:
    def action(realm: Realm) -> None:
        realm.control('{"a":"é"}')
        assert realm.text("given") == '{"a":"é"}'
        assert realm.control() is None
        assert realm.text("typeof given") == "undefined"
        assert realm.control(realm.run("({text: 'é'})")) == "é"
        assert realm.control(realm.function("() => 'called'")) == "called"

    engine.one(action)


def test_only_a_function_is_a_function(engine: Harness) -> None:
    def action(realm: Realm) -> list[bool]:
        return [realm.function(each) is None for each in ("({})", "async () => 1", "(class A {})", "null", "1")]

    assert engine.one(action) == [True, False, False, True, True]


@pytest.mark.parametrize("expression", ["1", "undefined", "new String('a')", "Symbol('a')"])
def test_only_a_string_is_a_text(engine: Harness, expression: str) -> None:
    with pytest.raises(EngineError, match="expected a string"):
        engine.text(expression)


def test_top_level_constants_are_seen_by_the_next_evaluation(engine: Harness) -> None:
    def action(realm: Realm) -> str:
        realm.run("const a = () => 1; void 0")
        return realm.text("typeof a")

    assert engine.one(action) == "function"


REPORTS = {
    "\n  throw new TypeError('x')\n//# sourceURL=workflow.js": (
        "workflow.js:2: TypeError: x\n  throw new TypeError('x')\n  ^\n\nTypeError: x\n    at workflow.js:2:9\n"
    ),
    "\nthrow 1": "<anonymous>:2: 1\nthrow 1\n^\n",
    "throw 1\n//# sourceURL=workflow.js": "workflow.js:1: 1\nthrow 1\n^\n",
    "let x = ;\n//# sourceURL=workflow.js": (
        "workflow.js:1: SyntaxError: Unexpected token ';'\nlet x = ;\n        ^\n\nSyntaxError: Unexpected token ';'\n"
    ),
    "throw 'a\\0b'\n//# sourceURL=workflow.js": "workflow.js:1: a\nthrow 'a\\0b'\n^\n",
    "throw {toString() { throw 1 }}\n//# sourceURL=workflow.js": (
        "workflow.js:1: <string conversion failed>\nthrow {toString() { throw 1 }}\n^\n"
    ),
    "throw {stack: 'own', toString() { return 'é' }}\n//# sourceURL=workflow.js": (
        "workflow.js:1: é\nthrow {stack: 'own', toString() { return 'é' }}\n^\n\nown\n"
    ),
}


@pytest.mark.parametrize("script", REPORTS)
def test_an_error_report_has_place_text_source_marker_and_stack(engine: Harness, script: str) -> None:
    with pytest.raises(EngineError) as raised:
        engine.one(lambda realm: realm.run(script))
    assert raised.value.report == REPORTS[script]


def test_a_report_asks_a_thrown_object_for_its_string_before_the_microtasks(engine: Harness) -> None:
    script = """let order = 'thrown'
    Promise.resolve().then(() => { order += ', microtask' })
    throw {[Symbol.toPrimitive]() { return order + ', asked' }}"""

    def action(realm: Realm) -> str:
        with pytest.raises(EngineError, match="thrown, asked"):
            realm.run(script)
        return realm.text("order")

    assert engine.one(action) == "thrown, microtask"


@pytest.mark.parametrize(
    ("script", "value"),
    [
        ("try { throw 1 } catch (e) { 'caught ' + e }", "caught 1"),
        ("try { ask('') } catch (e) { 'no' } finally { globalThis.f = 1 }; '' + f", "1"),
        ("try { (function r() { r() })() } catch (e) { e.name }", "RangeError"),
    ],
)
def test_the_script_catches_before_the_host_does(engine: Harness, script: str, value: str) -> None:
    assert engine.text(script) == value


def test_after_a_throw_the_realm_goes_on_and_the_next_one_too(engine: Harness) -> None:
    def action(realm: Realm) -> str:
        for script in ("throw 1", "let x = ;", "null.x", "throw undefined"):
            with pytest.raises(EngineError):
                realm.run(script)
        return realm.text("'alive'")

    assert engine.each(action, action) == ["alive", "alive"]


@pytest.mark.parametrize("end", ["void 0", "throw 1", "throw new Error('x')"])
def test_microtasks_run_before_the_next_call(engine: Harness, end: str) -> None:
    def action(realm: Realm) -> str:
        try:
            realm.run(f"let n = 0; (async () => {{ for (let i = 0; i < 1000; i++) {{ await null; n++ }} }})(); {end}")
        except EngineError:
            assert end != "void 0"
        return realm.text("'' + n")

    assert engine.one(action) == "1000"


def test_rejections_are_told_to_the_realm_of_the_run_alone(engine: Harness) -> None:
    def reject(realm: Realm) -> str:
        realm.run("globalThis.held = Promise.reject(1); (async () => { throw 2 })(); void 0")
        realm.run("held.catch(() => {}); void 0")
        return realm.text("'' + globalThis.rejections")

    def look(realm: Realm) -> str:
        return realm.text("'' + globalThis.rejections")

    # Two promises with their reasons, and one that was handled after all.
    assert engine.each(reject, look, reject) == ["5", "undefined", "5"]


def test_the_heap_limit_stops_a_script_and_not_the_process(engine: Harness) -> None:
    def fill(realm: Realm) -> None:
        realm.limit_heap(16 * 1024 * 1024)
        realm.run("const a = []; for (;;) a.push([a.length])")

    first, second = engine.each(fill, lambda realm: realm.text("'alive'"))
    assert isinstance(first, OutOfMemory)
    assert second == "alive"


def test_the_heap_limit_stops_microtasks_and_reports_too(engine: Harness) -> None:
    def fill(script: str) -> list[object]:
        def action(realm: Realm) -> None:
            realm.limit_heap(16 * 1024 * 1024)
            with contextlib.suppress(EngineError):
                realm.run(f"const a = []; function f() {{ for (;;) a.push([a.length]) }} {script}")
            realm.text("'alive'")

        return engine.each(action)

    for script in ("Promise.resolve().then(f); void 0", "throw {toString: f}", "Promise.resolve().then(f); throw 1"):
        assert isinstance(fill(script)[0], OutOfMemory), script


@pytest.mark.parametrize("code", ["eval('1')", "new Function('1')"])
def test_the_flags_are_in_force(engine: Harness, code: str) -> None:
    with pytest.raises(EngineError, match="Code generation from strings disallowed"):
        engine.one(lambda realm: realm.run(code))


def test_isolates_are_freed(engine: Harness) -> None:
    dll = _dll.init_mini_racer(ignore_duplicate_init=True)
    before = dll.mr_context_count()
    engine.each(*[lambda realm: realm.text("'alive'")] * 5)
    assert dll.mr_context_count() == before


def test_without_a_symbol_runs_get_isolates(monkeypatch: pytest.MonkeyPatch) -> None:
    assert v8.load() == []
    monkeypatch.setitem(v8._FOR_REALMS, "enter", ("_ZN2v87Context4NoneEv", None, ()))
    missing = v8.load()
    assert missing == ["_ZN2v87Context4NoneEv"]
    assert [engines.possible(fresh, missing) for fresh in get_args(Fresh)] == ["isolate", "isolate"]
    assert [engines.possible(fresh, []) for fresh in get_args(Fresh)] == ["realm", "isolate"]
