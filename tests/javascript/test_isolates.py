"""The exchange buffer of the engine that makes an isolate for each run."""

from __future__ import annotations

import pytest

from tests.javascript.engine import Harness
from workflow_operator.javascript.worker.vm import isolates
from workflow_operator.javascript.worker.vm.isolates import ExchangeError, Operation

pytestmark = pytest.mark.integration


@pytest.fixture
def engine() -> Harness:
    return Harness("isolate")


def test_a_text_longer_than_the_buffer_travels_in_parts(engine: Harness) -> None:
    engine.recorder.reply = "0123456789abcde😀rest"
    code = f"""
      send({Operation.PART:d}, '123456789012345\\ud83d'); let got = send({Operation.ASK:d}, '\\ude00'); let all = '';
      for (;;) {{ all += got[1]; if (!got[0]) break; got = send({Operation.MORE:d}, '') }}
      all"""
    assert engine.text(code) == engine.recorder.reply
    assert engine.recorder.asked == ["123456789012345😀"]


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
    engine: Harness, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(isolates, "_MAX_MESSAGE_BYTES", 1000)
    engine.recorder.reply = "x" * 20
    engine.each(lambda realm: realm.run(f"let count; {script}; void 0"))
    assert isinstance(engine.broken[0], ExchangeError)
