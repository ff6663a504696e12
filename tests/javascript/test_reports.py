"""A sandbox is not trusted: what it says is checked before anyone reads it."""

from __future__ import annotations

import json
import sys

import pytest

from tests.javascript.sandbox import job
from workflow_operator.history.errors import CpuLimit, EngineCrash, MemoryLimit, NotSerializable, ScriptError, Thrown
from workflow_operator.javascript.host import HostCall, LogLine, Returned
from workflow_operator.javascript.host.messages import Exit
from workflow_operator.javascript.host.reports import (
    CUT_MARK,
    Malformed,
    Place,
    cut,
    death,
    from_report,
    parse,
    place_in_stack,
    within,
)
from workflow_operator.javascript.worker.job import candidates, is_identifier
from workflow_operator.javascript.worker.wire import Decoder, ProtocolError, encode

JOB = job("a\nb")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"kind":"returned","output":[1]}', Returned([1])),
        (b'{"kind":"returned","output":"\\ud800x\\\\ud800\\udfff"}', Returned("\ufffdx\\ud800\ufffd")),
        (b'{"kind":"log","level":"warn","text":"t"}', LogLine("warn", "t")),
        (b'{"kind":"call","name":"n","stack":"","arguments":{}}', HostCall("n", {}, None)),
        (b'{"kind":"call","name":"n","stack":"Error\\n    at workflow.js:2:1","arguments":{}}', HostCall("n", {}, 2)),
        (
            b'{"kind":"call","name":"n","stack":"Error\\n    at workflow.js:0:1","arguments":{}}',
            HostCall("n", {}, None),
        ),
    ],
)
def test_messages(body: bytes, message: object) -> None:
    assert parse(body, JOB) == message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"kind":"other"}',
        b'{"kind":"returned"}',
        b'{"kind":"returned","output":NaN}',
        b'{"kind":"returned","output":1e999}',
        b'{"kind":"returned","output":' + b"1" * 5000 + b"}",
        b'{"kind":"log","level":"fatal","text":""}',
        b'{"kind":"log","level":"info","text":1}',
        b'{"kind":"call","name":1,"stack":"","arguments":{}}',
        b'{"kind":"call","name":"n","stack":"","arguments":[]}',
        b'{"kind":"failed","error":"Thrown"}',
    ],
)
def test_anything_else_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(body, JOB)


def test_too_deep_a_value_is_not_serializable() -> None:
    with pytest.raises(NotSerializable):
        parse(b'{"kind":"returned","output":' + b"[" * 100_000 + b"]" * 100_000 + b"}", JOB)


def test_an_unknown_kind_of_failure_is_something_thrown() -> None:
    body = {"kind": "failed", "error": "Timeout", "name": "N", "message": "m", "stack": "", "report": ""}
    assert isinstance(parse(json.dumps(body).encode(), JOB), Thrown)


@pytest.mark.parametrize(
    ("stack", "place"),
    [
        ("Error: x\n    at main (workflow.js:3:5)\n    at a.execute (prelude.js:1:1)", Place(3, 5)),
        ("Error: x\n    at sleep (prelude.js:1:1)\n    at workflow.js:12:34", Place(12, 34)),
        ("Error: x\n    at new A (workflow.js:1:2)", Place(1, 2)),
        (f"Error: x\n    at main (workflow.js:{'9' * 5000}:1)", None),
        ("Error: x\n    at main (workflow.js:1:9999999999)", None),
        ("Error: at workflow.js:1:1\n    at prelude.js:1:1", None),
        ("", None),
    ],
)
def test_the_place_is_the_innermost_frame_of_the_script(stack: str, place: Place | None) -> None:
    assert place_in_stack(stack) == place


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (None, (None, None)),
        (Place(1, 1), (1, 1)),
        (Place(1, 4), (1, 4)),
        (Place(1, 5), (None, None)),
        (Place(1, 0), (None, None)),
        (Place(0, 1), (None, None)),
        (Place(0, 0), (None, None)),
        (Place(1, None), (1, None)),
        (Place(2, 3), (2, 3)),
        (Place(2, 4), (None, None)),
        (Place(3, 1), (3, 1)),
        (Place(4, 7), (3, None)),
        (Place(5, 7), (3, None)),
        (Place(6, 1), (None, None)),
        (Place(999_999_999, 1), (None, None)),
    ],
)
def test_no_place_is_outside_the_script(place: Place | None, expected: tuple[int | None, int | None]) -> None:
    assert within(place, "abc\r\n\N{GRINNING FACE}\u2028") == expected


@pytest.mark.parametrize(
    ("report", "wanted"),
    [
        ("workflow.js:2: TypeError: x\nsrc\n  ^^\n\nstack", ("TypeError", "x", Place(2, 3))),
        ("workflow.js:2: plain\nsrc\n^\n", ("Error", "plain", Place(2, 1))),
        ("workflow.js:2: A: two\nlines\nsrc\n ^\n", ("A", "two\nlines", Place(2, 2))),
        ("workflow.js:2: x\nfake\n^\nsrc\n ^\n", ("Error", "x\nfake\n^", Place(2, 2))),
        ("workflow.js:2: no marker", ("Error", "no marker", Place(2, None))),
        ("prelude.js:9: TypeError: x\nsrc\n^\n", ("TypeError", "x", None)),
        ("something else", ("Error", "something else", None)),
        (f"workflow.js:{'9' * 5000}: x", ("Error", f"workflow.js:{'9' * 5000}: x", None)),
        ("", ("Error", "", None)),
    ],
)
def test_reports(report: str, wanted: tuple[str, str, Place | None]) -> None:
    assert from_report(report, "first\nsrc") == wanted


@pytest.mark.parametrize(
    ("end", "stderr", "kind"),
    [
        (Exit(-24), "", CpuLimit),
        (Exit(-5, 0), "# Fatal process out of memory: Zone", MemoryLimit),
        (Exit(-5, 200), "", MemoryLimit),
        (Exit(-5, 50), "", EngineCrash),
        (Exit(-9, 200), "", EngineCrash),
        (Exit(70, 0), "sandbox process: MemoryError()", MemoryLimit),
        (Exit(70, 0), "sandbox process: ValueError()", EngineCrash),
        (Exit(None), "", EngineCrash),
    ],
)
def test_deaths(end: Exit, stderr: str, kind: type[ScriptError]) -> None:
    assert type(death(end, stderr, memory_bytes=100)) is kind


def test_lines_are_cut_between_characters() -> None:
    assert cut("éé", 4) == "éé"
    assert cut("éé", 3) == "é" + CUT_MARK


def test_frames_arrive_in_any_pieces() -> None:
    stream = encode({"a": "\ud800"}) + encode({"b": 1})
    for size in range(1, len(stream) + 1):
        decoder = Decoder()
        pieces = [decoder.feed(stream[start : start + size]) for start in range(0, len(stream), size)]
        assert [json.loads(body) for piece in pieces for body in piece] == [{"a": "\ud800"}, {"b": 1}]


def test_a_frame_over_the_cap_is_refused_before_it_is_read() -> None:
    with pytest.raises(ProtocolError, match="at most 100"):
        Decoder(100).feed(b"\x00\x00\x00\x65")


def test_candidates_keep_the_order_of_the_text() -> None:
    script = "async function* b() {} const a = 1, c = 2; let été = 3; var class = 4; function b() {} function(x) {}"
    assert candidates(script) == ["b", "a", "été"]


@pytest.mark.parametrize("name", ["a1", "$", "_é", "state_1$", "$2", "名前", "a\u0301"])
def test_identifiers(name: str) -> None:
    assert is_identifier(name)


@pytest.mark.parametrize("name", ["1a", "a b", "if", "", "a;b", "a.b", "m²", "²", "①", "a\n", "\ud800"])
def test_no_identifiers(name: str) -> None:
    assert not is_identifier(name)


@pytest.mark.parametrize(("levels", "taken"), [(100, True), (101, False), (50_000, False)])
@pytest.mark.parametrize("limit", [1_000, 25_000])
def test_how_deep_a_value_may_be_does_not_depend_on_the_process(levels: int, taken: bool, limit: int) -> None:
    value = b"[" * levels + b"]" * levels
    body = b'{"kind":"call","name":"transition","stack":"","arguments":{"function":"[f","payload":' + value + b"}}"
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        if taken:
            assert isinstance(parse(body, JOB), HostCall)
        else:
            with pytest.raises(NotSerializable, match="at most 100 levels"):
                parse(body, JOB)
    finally:
        sys.setrecursionlimit(before)
