"""The small decisions about messages."""

from __future__ import annotations

import pytest

from tests.fakes.events import KEY, event
from workflow_operator.history import EventType, InstanceKey, encode_event
from workflow_operator.history.errors import InvalidInput
from workflow_operator.jetstream.connect.answers import Answer, read_answer
from workflow_operator.jetstream.connect.headers import (
    HISTORY_SEQUENCE,
    PREVIOUS_SEQUENCE,
    parse_headers,
    read_sequence,
    size,
)
from workflow_operator.jetstream.projection import source_sequence
from workflow_operator.jetstream.queue import due_pause, read_started


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"stream": "HISTORY", "seq": 7}', Answer(sequence=7)),
        (
            b'{"error": {"code": 400, "err_code": 10071, "description": "wrong last sequence: 5"}}',
            Answer(error=10071, description="wrong last sequence: 5"),
        ),
        (b'{"error": {"code": 503}}', Answer(error=503)),
    ],
)
def test_read_answer(data: bytes, expected: Answer) -> None:
    assert read_answer(data) == expected


def test_size_of_headers_is_that_on_the_wire() -> None:
    wire = "NATS/1.0\r\nA: b\r\nName: z\u00e4hl\r\n\r\n".encode()
    assert size({"A": "b", "Name": "z\u00e4hl"}) == len(wire)


def test_parse_headers() -> None:
    assert parse_headers(b"NATS/1.0\r\nA: b:c\r\nEmpty:\r\n\r\n") == {"A": "b:c", "Empty": ""}
    assert parse_headers(b"") == {}
    assert parse_headers(b"NATS/1.0\r\nA: \xff\r\nB: c\r\n\r\n") == {"A": "\ufffd", "B": "c"}
    assert parse_headers(b"NATS/1.0 503\r\n\r\n") == {"Status": "503", "Description": ""}
    assert parse_headers(b"NATS/1.0 404 No Messages\r\nA: b\r\n\r\n") == {
        "A": "b",
        "Status": "404",
        "Description": "No Messages",
    }
    assert parse_headers(b"NATS/1.0 nonsense\r\n\r\n") == {}


def test_read_sequence() -> None:
    assert read_sequence({}, PREVIOUS_SEQUENCE) == 0
    assert read_sequence({PREVIOUS_SEQUENCE: "18446744073709551615"}, PREVIOUS_SEQUENCE) == 2**64 - 1


@pytest.mark.parametrize("bad", ["", "abc", "-1", "1_0", "1.0", "\u0663", "9" * 5000])
def test_read_sequence_refuses_what_is_none(bad: str) -> None:
    with pytest.raises(InvalidInput, match=PREVIOUS_SEQUENCE) as refused:
        read_sequence({PREVIOUS_SEQUENCE: bad}, PREVIOUS_SEQUENCE)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("attempt", "pause"), [(1, 0.05), (2, 0.1), (3, 0.2), (7, 3.2), (8, 5.0), (100, 5.0), (10**6, 5.0)]
)
def test_due_pause_grows_to_five_seconds(attempt: int, pause: float) -> None:
    assert due_pause(attempt) == pytest.approx(pause)


def test_source_sequence() -> None:
    assert source_sequence("HISTORY 42 instances.history.*.* projection.{{partition(16,1,2)}} x y") == 42
    for bad in ("", "HISTORY", "HISTORY x y"):
        with pytest.raises(InvalidInput, match="Nats-Stream-Source"):
            source_sequence(bad)


STARTED = encode_event(event(EventType.STARTED, script="return 1"))
SEQUENCE = {HISTORY_SEQUENCE: "7"}


@pytest.mark.parametrize(
    ("data", "headers", "found"),
    [
        (STARTED, SEQUENCE, True),
        (b"", {}, False),
        (STARTED, {}, False),
        (STARTED, {HISTORY_SEQUENCE: "0"}, False),
        (STARTED, {HISTORY_SEQUENCE: "-1"}, False),
        (STARTED, {HISTORY_SEQUENCE: "x" * 9000}, False),
        # Of another instance, of another kind, of a newer release, no event at all, too large.
        (encode_event(event(EventType.STARTED, key=InstanceKey("other", KEY.instance_id))), SEQUENCE, False),
        (encode_event(event(EventType.SUCCEEDED)), SEQUENCE, False),
        (STARTED.replace(b'"version":1', b'"version":9'), SEQUENCE, False),
        (b"\xff{" * 99, SEQUENCE, False),
        (b"[" * 10_000, SEQUENCE, False),
        (STARTED + b" " * 16 * 1024, SEQUENCE, False),
    ],
)
def test_what_comes_with_a_queue_message_is_read_as_the_history_or_not_at_all(
    data: bytes, headers: dict[str, str], found: bool
) -> None:
    started = read_started(data, headers, KEY)
    assert (started is not None) is found
    assert started is None or (started.sequence, started.size) == (7, len(data))
