"""What a sandbox's texts and ends become: pure, with tables."""

# ruff: noqa: E501 - tables, one case a line

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from workflow_operator.app.settings import Settings
from workflow_operator.history.errors import (
    CpuLimit,
    EngineCrash,
    MemoryLimit,
    ScriptError,
    Thrown,
)
from workflow_operator.javascript.host import Limits
from workflow_operator.javascript.host.messages import Exit
from workflow_operator.javascript.host.places import Place, Source
from workflow_operator.javascript.host.reports import (
    CUT_MARK,
    cut,
    death,
    failure,
    last_seen,
    no_start,
    processor,
    wall,
)
from workflow_operator.javascript.worker.job import candidates, is_identifier
from workflow_operator.javascript.worker.wire import Decoder, ProtocolError, encode, frame_cap

LIMITS = Limits(memory_bytes=100)


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
    assert Source("abc\r\n\N{GRINNING FACE}\u2028").within(place) == expected


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
        (Exit(-99), "", EngineCrash),
        (Exit(None), "", EngineCrash),
    ],
)
def test_deaths(end: Exit, stderr: str, kind: type[ScriptError]) -> None:
    assert type(death(end, stderr, LIMITS, "before its first host call")) is kind


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


def test_what_ends_without_a_throw_is_told_with_where_the_script_was_last_seen() -> None:
    full = last_seen(failure("MemoryLimit", "", "full", (None, None), ("", ""), LIMITS), "after sleep in line 3")
    assert isinstance(full, MemoryLimit)
    assert full.message.endswith(", after sleep in line 3")
    placed = failure("MemoryLimit", "", "full", (3, 1), ("", ""), LIMITS)
    assert last_seen(placed, "after sleep in line 3") is placed


@pytest.mark.parametrize("kind", ["NotSerializable", "PayloadTooLarge", "MemoryLimit", "Deadlock"])
def test_what_stands_behind_an_error_is_told_of_every_kind(kind: str) -> None:
    error = failure(kind, kind, "m", (1, 2), ("", "not awaited: Error: x"), LIMITS)
    assert error.message.endswith("\nnot awaited: Error: x")


def test_an_unknown_class_of_failure_is_something_thrown() -> None:
    error = failure("Timeout", "N", "m", (1, 2), ("at f", "caused by x"), LIMITS)
    assert isinstance(error, Thrown)
    assert (error.name, error.message, error.line, error.column, error.stack) == ("N", "m\ncaused by x", 1, 2, "at f")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (failure("MemoryLimit", "", "full", (3, 1), ("", ""), LIMITS), ["full", "100 bytes", "SCRIPT_MEMORY_BYTES"]),
        (failure("PayloadTooLarge", "", "large", (3, 1), ("", ""), LIMITS), ["large", "PAYLOAD_BYTES"]),
        (failure("Deadlock", "", "waits", (3, 1), ("", ""), LIMITS), ["waits"]),
        (processor(LIMITS, "after sleep in line 3"), ["10 s", "SCRIPT_CPU_SECONDS", "after sleep in line 3"]),
        (wall(LIMITS, "after sleep in line 3"), ["60 s", "SCRIPT_WALL_SECONDS", "after sleep in line 3"]),
        (death(Exit(-24), "", LIMITS, "after sleep"), ["10 s", "SCRIPT_CPU_SECONDS", "after sleep"]),
        (death(Exit(-5, 200), "", LIMITS, "after sleep"), ["100 bytes", "SCRIPT_MEMORY_BYTES", "after sleep"]),
    ],
)
def test_an_error_of_a_limit_says_how_much_and_what_sets_it(error: ScriptError, words: list[str]) -> None:
    for word in words:
        assert word in error.message
    for name in (word for word in words if word.isupper()):
        assert name.lower() in {each.name for each in fields(Settings)}
        assert f"WORKFLOW_OPERATOR_{name}" in error.message


@pytest.mark.parametrize(
    ("stderr", "address_space", "overcommit", "words"),
    [
        ("x\n", 20_480_000_000, "0\n", ["1.5 TB", "20480000000 bytes", "ulimit -v"]),
        ("x\n", None, "2\n", ["1.5 TB", "vm.overcommit_memory=2"]),
        ("#\n# Fatal process out of memory: x\n==== C stack trace\n  /lib/y\n", None, "1", ["Fatal process out of memory: x"]),
        ("Traceback\nModuleNotFoundError: no z\n", None, "0", ["ModuleNotFoundError: no z"]),
        ("", None, "", ["nothing on its standard error"]),
    ],
)  # fmt: skip
def test_why_v8_does_not_start_is_one_line(
    stderr: str, address_space: int | None, overcommit: str, words: list[str]
) -> None:
    text = no_start(stderr, address_space, overcommit)
    assert all(word in text for word in words)
    assert "\n" not in text


def test_a_frame_holds_the_largest_failure_and_twice_the_largest_value() -> None:
    assert frame_cap(256 * 1024) == 2 * 256 * 1024 + 64 * 1024
    assert frame_cap(1) > 6 * (256 + 8192 + 16384 + 4096)
    assert frame_cap(1024 * 1024) == 2 * 1024 * 1024 + 64 * 1024
