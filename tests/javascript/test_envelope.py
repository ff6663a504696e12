"""A sandbox is not trusted: what it says is checked before anyone reads it."""

# ruff: noqa: E501 - tables, one case a line

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from workflow_operator.engine.calls import FORMS
from workflow_operator.history import Caught, CaughtStep, Json
from workflow_operator.history.errors import NotSerializable, PayloadTooLarge, Thrown
from workflow_operator.javascript.host import HostCall, Limits, LogLine
from workflow_operator.javascript.host.envelope import Malformed, parse
from workflow_operator.javascript.host.messages import Returned, Spent
from workflow_operator.javascript.host.places import Source

SOURCE = Source("a\nb")
LIMITS = Limits(payload_bytes=1000, log_line_bytes=10)

FAILED = {
    "kind": "failed",
    "error": "Thrown",
    "name": "N",
    "message": "m",
    "line": 2,
    "column": 1,
    "stack": "",
    "cause": "",
}


STEP = {"function": "f", "error": "E: m"}
SLEEP = {"kind": "call", "name": "sleep", "line": 2, "column": 1, "arguments": {"seconds": 5}}


def said(body: bytes) -> object:
    return parse(body, SOURCE, LIMITS, FORMS.takes)


def text(**message: Any) -> bytes:
    return json.dumps(message).encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"kind":"returned","output":[1, 2]}', Returned(Json(b"[1, 2]"))),
        (b'{"kind":"returned","output":"\\ud800x\\\\ud800\\udfff"}', Returned(Json("\"\ufffdx\\\\ud800\ufffd\"".encode()))),
        (b'{"output":null,"kind":"returned"}', Returned(Json.NULL)),
        (b'{"kind":"spent"}', Spent()),
        (b'{"kind":"log","level":"warn","text":"t"}', LogLine("warn", "t")),
        (b'{"kind":"log","level":"warn","text":"\\ud800"}', LogLine("warn", "\ufffd")),
        (b'{"kind":"log","level":"info","text":"12345678901"}', LogLine("info", "1234567890 ... [line cut]")),
        (text(kind="call", name="sleep", line=2, column=1, arguments={"seconds": 5}), HostCall("sleep", {"seconds": 5}, 2, 1)),
        (text(kind="call", name="sleep", line=None, column=None, arguments={"seconds": 5}), HostCall("sleep", {"seconds": 5}, None)),
        (text(kind="call", name="sleep", line=9, column=1, arguments={"seconds": 5}), HostCall("sleep", {"seconds": 5}, None)),
        (b'{"kind":"call","name":"sleep","line":2,"column":1,"arguments":{"seconds":1e+21}}', HostCall("sleep", {"seconds": 1e21}, 2, 1)),
        (
            b'{"kind":"call","name":"transition","line":1,"column":1,"arguments":{"function":"f","payload":{"a":1}}}',
            HostCall("transition", {"function": "f", "payload": Json(b'{"a":1}')}, 1, 1),
        ),
    ],
)  # fmt: skip
def test_messages(body: bytes, message: object) -> None:
    assert said(body) == message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"kind":"other"}',
        b'{"kind":"ready","pid":1}',
        b'{"kind":"returned"}',
        b'{"kind":"returned","output":1,"more":1}',
        b'{"kind":"returned","output":NaN}',
        b'{"kind":"returned","output":1}x',
        b'{"kind":"log","level":"fatal","text":""}',
        b'{"kind":"log","level":"info","text":1}',
        b'{"kind":"log","level":"info","text":"\xff"}',
        text(kind="call", name=1, line=1, column=1, arguments={}),
        text(kind="call", name="unknown", line=1, column=1, arguments={}),
        text(kind="call", name="sleep", line=1, column=1, arguments=[]),
        text(kind="call", name="sleep", line=0, column=1, arguments={"seconds": 1}),
        text(kind="call", name="sleep", line=1, column=1, arguments={"seconds": "1"}),
        text(kind="call", name="sleep", line=1, column=1, arguments={"seconds": -1}),
        text(kind="call", name="finish", line=1, column=1, arguments={"output": 1, "more": 1}),
        text(kind="call", name="transition", line=1, column=1, arguments={"function": "f" * 257, "payload": 1}),
        text(kind="call", name="transition", line=1, column=1, arguments={"function": "", "payload": 1}),
        text(kind="failed", error="Thrown"),
        text(**{**FAILED, "name": "n" * 257}),
        text(**{**FAILED, "message": "m" * 8193}),
        text(**{**FAILED, "stack": "s" * 16385}),
        text(**{**FAILED, "cause": "c" * 4097}),
        text(**{**FAILED, "report": ""}),
        text(**FAILED, caught={"steps": [STEP], "more": 0}),
    ],
)
def test_anything_else_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        said(body)


@pytest.mark.parametrize("form", [SLEEP, {"kind": "returned", "output": 1}])
def test_what_the_script_caught_is_read(form: dict[str, Any]) -> None:
    longest = {"function": "f" * 256, "error": "\ud800" + "e" * 199}
    message = said(text(**form, caught={"steps": [longest, *[{"function": "g"}] * 7], "more": 999_999_999}))
    assert isinstance(message, HostCall | Returned)
    first = CaughtStep(function="f" * 256, error="\ufffd" + "e" * 199)
    assert message.caught == Caught(steps=(first, *[CaughtStep(function="g")] * 7), more=999_999_999)


@pytest.mark.parametrize(
    "caught",
    [
        None,
        [],
        {},
        {"steps": [], "more": 0},
        {"steps": [STEP]},
        {"steps": [STEP] * 9, "more": 0},
        {"steps": [STEP], "more": -1},
        {"steps": [STEP], "more": 1_000_000_000},
        {"steps": [STEP], "more": 0, "other": 1},
        {"steps": [{**STEP, "function": ""}], "more": 0},
        {"steps": [{**STEP, "function": "f" * 257}], "more": 0},
        {"steps": [{**STEP, "error": "e" * 201}], "more": 0},
        {"steps": [{**STEP, "error": None, "stack": ""}], "more": 0},
        {"steps": ["f"], "more": 0},
    ],
)
@pytest.mark.parametrize("form", [SLEEP, {"kind": "returned", "output": 1}])
def test_what_the_script_caught_is_bounded(form: dict[str, Any], caught: object) -> None:
    with pytest.raises(Malformed):
        said(text(**form, caught=caught))


def test_a_failure_is_an_error_with_its_place() -> None:
    error = said(text(**FAILED))
    assert isinstance(error, Thrown)
    assert (error.name, error.message, error.line, error.column) == ("N", "m", 2, 1)


@pytest.mark.parametrize("value", ["x" * 999, [[]] * 400, {"a": "é" * 500}])
@pytest.mark.parametrize(
    "form",
    [
        '{"kind":"returned","output":%s}',
        '{"kind":"call","name":"finish","line":1,"column":1,"arguments":{"output":%s}}',
        '{"kind":"call","name":"transition","line":1,"column":1,"arguments":{"function":"f","payload":%s}}',
    ],
)
def test_a_value_over_the_cap_is_refused(form: str, value: object) -> None:
    body = (form % json.dumps(value, ensure_ascii=False)).encode()
    with pytest.raises(PayloadTooLarge, match="at most 1000"):
        said(body)
    parse(body, SOURCE, Limits(payload_bytes=4000), FORMS.takes)


def test_numbers_that_no_reader_holds_are_refused() -> None:
    with pytest.raises(NotSerializable):
        said(b'{"kind":"returned","output":1e999}')


@pytest.mark.parametrize(("levels", "taken"), [(100, True), (101, False), (50_000, False)])
@pytest.mark.parametrize("limit", [1_000, 25_000])
def test_how_deep_a_value_may_be_does_not_depend_on_the_process(levels: int, taken: bool, limit: int) -> None:
    value = b"[" * levels + b"]" * levels
    body = (
        b'{"kind":"call","name":"transition","line":1,"column":1,"arguments":{"function":"[f","payload":'
        + value
        + b"}}"
    )
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        if taken:
            assert isinstance(parse(body, SOURCE, Limits(), FORMS.takes), HostCall)
        else:
            with pytest.raises(NotSerializable, match="100 levels"):
                parse(body, SOURCE, Limits(), FORMS.takes)
    finally:
        sys.setrecursionlimit(before)
