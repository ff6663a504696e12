"""The contract with mini-racer's private interface: what bridge.py relies on, asked of the installed version."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import pytest
from py_mini_racer import _dll

from workflow_operator.javascript.worker import bridge
from workflow_operator.javascript.worker.bridge import EngineError, ExchangeError, Isolate, Operation, OutOfMemory

pytestmark = pytest.mark.integration

# The smallest prelude: exposes the exchange to the test's own scripts.
PRELUDE = """(() => {
  const buffer = new ArrayBuffer(8 + 2 * 16);
  const header = new Int32Array(buffer, 0, 2), units = new Uint16Array(buffer, 8);
  let call;
  globalThis.send = (operation, text) => {
    for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
    header[0] = operation; header[1] = typeof count === 'number' ? count : text.length;
    call();
    return [header[0], String.fromCharCode(...units.slice(0, header[1]))];
  };
  return function () {
    'use strict';
    if (!call) { call = this; return buffer; }
    globalThis.given = this;
    return typeof this === 'function' ? this() : typeof this === 'object' ? this.text : undefined;
  };
})()"""


class Recorder:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.asked: list[str] = []
        self.reply = ""

    def tell(self, text: str) -> None:
        self.told.append(text)

    def ask(self, text: str) -> str:
        self.asked.append(text)
        return self.reply


def fail(error: BaseException) -> None:
    raise AssertionError from error


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    if _dll._dll_handle is None:
        bridge.initialise()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def isolate(recorder: Recorder) -> Iterator[Isolate]:
    with Isolate(PRELUDE, recorder, on_error=fail) as isolate:
        yield isolate


def test_the_version_is_the_one_this_was_written_for() -> None:
    assert version("mini-racer") == "0.14.1"


def test_javascript_waits_for_the_reply(isolate: Isolate, recorder: Recorder) -> None:
    recorder.reply = "reply 😀"
    assert isolate.text(f"JSON.stringify(send({Operation.ASK:d}, 'ask 😀'))") == '[0,"reply 😀"]'
    assert recorder.asked == ["ask 😀"]


def test_a_text_longer_than_the_buffer_travels_in_parts(isolate: Isolate, recorder: Recorder) -> None:
    recorder.reply = "0123456789abcde😀rest"
    code = f"""
      send({Operation.PART:d}, '123456789012345\\ud83d'); let got = send({Operation.ASK:d}, '\\ude00'); let all = '';
      for (;;) {{ all += got[1]; if (!got[0]) break; got = send({Operation.MORE:d}, '') }}
      all"""
    assert isolate.text(code) == recorder.reply
    assert recorder.asked == ["123456789012345😀"]


def test_telling_needs_no_reply(isolate: Isolate, recorder: Recorder) -> None:
    isolate.run(f"send({Operation.TELL:d}, 'one'); send({Operation.TELL:d}, '')")
    assert recorder.told == ["one", ""]


@pytest.mark.parametrize(
    "script",
    [
        f"send({Operation.MORE:d}, '')",
        f"send({Operation.ASK:d}, 'long'); send({Operation.TELL:d}, 'x')",
        f"send({Operation.ASK:d}, 'long'); send({Operation.ASK:d}, 'x')",
        f"send({Operation.PART:d}, 'x'); send({Operation.MORE:d}, '')",
        "send(0, 'x')",
        "send(5, 'x')",
        f"count = 17; send({Operation.TELL:d}, 'x')",
        f"count = -1; send({Operation.TELL:d}, 'x')",
        f"for (let i = 0; i < 100; i++) send({Operation.PART:d}, '0123456789')",
    ],
)
def test_what_the_prelude_never_does_ends_the_exchange(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(bridge, "_MAX_MESSAGE_BYTES", 1000)
    recorder.reply = "x" * 20
    errors: list[BaseException] = []
    with Isolate(PRELUDE, recorder, on_error=errors.append) as isolate:
        isolate.run(f"let count; {script}; void 0")
    assert isinstance(errors[0], ExchangeError)


def test_values_cross_as_this_and_as_results(isolate: Isolate) -> None:
    isolate.control('{"a":"é"}')
    assert isolate.text("given") == '{"a":"é"}'
    assert isolate.control() is None
    assert isolate.text("typeof given") == "undefined"
    assert isolate.control(isolate.run("({text: 'é'})")) == "é"
    assert isolate.control(isolate.function("() => 'called'")) == "called"


def test_only_a_function_is_a_function(isolate: Isolate) -> None:
    assert isolate.function("({})") is None
    assert isolate.function("async () => 1") is not None
    assert isolate.function("(class A {})") is not None


def test_top_level_constants_are_seen_by_the_next_evaluation(isolate: Isolate) -> None:
    isolate.run("const a = () => 1; void 0")
    assert isolate.text("typeof a") == "function"


def test_an_error_report_has_place_text_source_marker_and_stack(isolate: Isolate) -> None:
    with pytest.raises(EngineError) as raised:
        isolate.run("\n  throw new TypeError('x')\n//# sourceURL=workflow.js")
    assert raised.value.report == (
        "workflow.js:2: TypeError: x\n  throw new TypeError('x')\n  ^\n\nTypeError: x\n    at workflow.js:2:9\n"
    )


def test_the_report_asks_a_thrown_object_for_its_string_after_the_script(isolate: Isolate) -> None:
    with pytest.raises(EngineError) as raised:
        isolate.run("throw {[Symbol.toPrimitive]() { return 'asked' }}")
    assert "asked" in raised.value.report


def test_microtasks_run_before_the_next_task(isolate: Isolate) -> None:
    isolate.run("let n = 0; (async () => { for (let i = 0; i < 1000; i++) { await null; n++ } })(); void 0")
    assert isolate.text("'' + n") == "1000"


def test_the_heap_limit_stops_a_script_and_not_the_process(recorder: Recorder) -> None:
    with Isolate(PRELUDE, recorder, on_error=fail) as isolate:
        isolate.limit_heap(16 * 1024 * 1024)
        with pytest.raises(OutOfMemory):
            isolate.run("const a = []; for (;;) a.push([a.length])")
    with Isolate(PRELUDE, recorder, on_error=fail) as isolate:
        assert isolate.text("'alive'") == "alive"


@pytest.mark.parametrize("flag", ["eval('1')", "new Function('1')"])
def test_the_flags_are_in_force(isolate: Isolate, flag: str) -> None:
    with pytest.raises(EngineError, match="Code generation from strings disallowed"):
        isolate.run(flag)


def test_isolates_are_freed(recorder: Recorder) -> None:
    dll = _dll.init_mini_racer(ignore_duplicate_init=True)
    before = dll.mr_context_count()
    for _ in range(5):
        Isolate(PRELUDE, recorder, on_error=fail).close()
    assert dll.mr_context_count() == before
