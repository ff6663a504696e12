"""Values are carried as bytes: what goes in as JSON is JSON that every reader can follow, whatever was sent."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_operator.history import MAX_NESTING, Json
from workflow_operator.history.errors import InvalidInput, NotSerializable, PayloadTooLarge
from workflow_operator.history.values import nesting

MIB = 1024 * 1024


def checked(data: bytes, max_bytes: int | None = None) -> Json:
    return Json.checked(data, "the payload", max_bytes)


def deep(levels: int) -> bytes:
    opened = [b"[" if level % 2 else b'{"a":' for level in range(levels)]
    return b"".join(opened) + b"1" + b"".join(b"]" if level % 2 else b"}" for level in reversed(range(levels)))


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "0",
        "-0.0",
        "1e300",
        "1" + "0" * 308,
        '"e999"',
        '"1e999 [[["',
        "[]",
        '{"a":[1,2.5,true,null,"é😀"]}',
        '{"a":1,"a":2}',
        r'"\\ud800"',
        r'"\ud83d\ude00 \u0000 \" \\"',
        ' {"a" : 1}\n',
    ],
)
def test_json_is_kept_to_the_byte(text: str) -> None:
    assert checked(text.encode()).data == text.encode()
    assert checked(text.encode()).load() == json.loads(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"nul",
        b"[1,2",
        b"[1,]",
        b"{a:1}",
        b"[1] 2",
        b"]",
        b"[}",
        b"'a'",
        b"NaN",
        b"-Infinity",
        b"01",
        b"1.",
        b'"\n"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf1",
        b"1e400",
        b"[-1e400]",
        b'{"a":1E+999}',
        b"1" + b"0" * 309,
        b"[" + b"9" * 5000 + b"]",
        b'["e1", 1e309]',
        deep(MAX_NESTING + 1),
        deep(900),
        deep(100_000),
        b"[" * MIB,
        b'"[' * 1000 + b'"]' * 1000,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_no_reader_could_follow_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(NotSerializable, match="the payload"):
        checked(data)


def test_bytes_are_counted_before_anything_else() -> None:
    assert len(checked('"漢字"'.encode(), 8)) == 8
    with pytest.raises(PayloadTooLarge, match="the payload has 9 bytes as JSON; expected at most 8"):
        checked(b"[" * 9, 8)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (r'"\ud800"', '"\ufffd"'),
        (r'"a\uDBFFb\uDC00"', '"a\ufffdb\ufffd"'),
        (r'{"\ud800":["\ud83d\ud83d\ude00"]}', '{"\ufffd":["\ufffd\\ud83d\\ude00"]}'),
        (r'"\\\ud800\\\\ud800"', r'"\\' + "\ufffd" + r'\\\\ud800"'),
    ],
)
def test_half_a_surrogate_pair_becomes_a_replacement_character(sent: str, stored: str) -> None:
    assert checked(sent.encode()).data.decode() == stored


def test_of_is_compact_and_in_utf_8() -> None:
    value = {"a": [1, 2.5, -0.0, 10**30, True, None, "漢\U0001f600", {}], "": []}
    assert (
        Json.of(value).data.decode() == '{"a":[1,2.5,-0.0,1000000000000000000000000000000,true,null,"漢😀",{}],"":[]}'
    )
    assert Json.of("\ud83d\ude00\ud800").data.decode() == '"😀\ufffd"'
    assert Json.of(None) == Json.NULL
    assert len(Json.of("漢" * 50_000)) == 150_002


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
DEEP: Any = 1
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 10**309, 10**5000, b"a", {1, 2}, [object()], CYCLE, DEEP],
    ids=["NaN", "infinity", "too large", "far too large", "bytes", "a set", "an object", "a cycle", "too deep"],
)
def test_of_refuses_what_json_has_no_form_for(value: Any) -> None:
    with pytest.raises(NotSerializable, match="a value"):
        Json.of(value)


@pytest.mark.parametrize(
    "data", [b"", b"nope", b'"\xff"', b"[" * 5000, b"9" * 5000, deep(101)], ids=lambda d: repr(d[:8])
)
def test_what_was_not_checked_may_be_unreadable(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="a stored value"):
        Json(data).load()


def test_the_text_for_people_is_cut_and_marked() -> None:
    assert Json.of("漢字").text(80) == '"漢字"'
    assert Json.of("漢" * 100).text(5) == '"漢漢漢…'
    assert Json.of("😀" * 3).text(5) == '"😀😀😀"'


# What could be taken for a bracket, or for the end of a string; halves of pairs; pieces of escapes.
TEXTS = st.text(st.sampled_from('[]{}"\\,:nu0\n\0é\u2028\U0001f600\ud83d\ude00'), max_size=6)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def depth(value: Any) -> int:
    """What ``nesting`` has to count, said plainly."""
    if isinstance(value, list | dict):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


@given(value=VALUES, names=st.lists(TEXTS | st.none(), max_size=4), levels=st.integers(0, 3) | st.integers(92, 103))
def test_depth_is_counted_whatever_the_strings_say(value: Any, names: list[str | None], levels: int) -> None:
    for level in range(levels):
        name = names[level % len(names)] if names else None
        value = [name, value] if name is None else {name: value, "[": []}
    for data in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode(errors="replace")):
        assert nesting(data) == min(depth(value), MAX_NESTING + 1)


@given(value=VALUES)
def test_what_is_checked_is_what_of_makes(value: Any) -> None:
    made = Json.of(value)
    assert checked(made.data) == made
    # Escaped, as another side may send it.
    assert checked(json.dumps(value).encode()).load() == made.load()


@given(data=st.binary(max_size=40) | st.text('[]{}",:\\u0d8e.-+tnl ', max_size=40).map(str.encode))
def test_what_passes_can_be_read(data: bytes) -> None:
    try:
        value = checked(data)
    except NotSerializable:
        return
    value.load()
    json.loads(value.data.decode())


@pytest.mark.parametrize(
    "unit",
    [
        b"[",
        b"]",
        b"[[],",
        b'"',
        b'""',
        b"\\",
        b"\\\\",
        b'\\"',
        b"\n",
        b" ",
        b"1",
        b"1e5,",
        b"\\ud800",
        b"\xff",
        b"{",
        b'{"":0},',
    ],
    ids=repr,
)
@pytest.mark.parametrize("form", ["bare", "in a list", "in a string"])
def test_a_hostile_text_takes_linear_time(unit: bytes, form: str) -> None:
    text = unit * (MIB // len(unit))
    data = {"bare": text, "in a list": b"[" + text.rstrip(b",") + b"]", "in a string": b'"' + text + b'"'}[form]
    begin = time.process_time()
    with contextlib.suppress(NotSerializable):
        checked(data)
    # Usual is below 30 ms; what is not linear takes minutes.
    assert time.process_time() - begin < 3


def test_deep_values_cost_little_more_than_flat_ones() -> None:
    """Rows of 98 levels: taken away level by level they would be read 98 times, for 50 times the cost."""
    deep = b"[" + b",".join([b"[" * 98 + b"]" * 98] * 5000) + b"]"
    flat = b"[" + b",".join([b"[]"] * (len(deep) // 3)) + b"]"

    def seconds(data: bytes) -> float:
        started = time.thread_time()
        nesting(data)
        return time.thread_time() - started

    assert min(seconds(deep) for _ in range(3)) < 30 * min(seconds(flat) for _ in range(3))
