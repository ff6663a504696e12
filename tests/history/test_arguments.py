"""Arguments are compared by digests: those that 0.2.0 recorded, and those of bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workflow_operator.history import Json, decode_event, digest, matches
from workflow_operator.history.arguments import arguments_json

GOLDEN = Path(__file__).parent / "golden"
LARGE = "x" * 5000


def test_small_arguments_are_digested_as_ever() -> None:
    assert digest({"a": 1, "b": [None]}) == digest({"b": [None], "a": 1}) == digest(Json(b'{"b": [null], "a": 1}'))
    different: list[Any] = [None, 0, False, "", "0", [], {}, [0], {"a": 0}]
    assert len({digest(value) for value in different}) == 9
    # Recorded in histories: another algorithm would make every recorded call look changed.
    assert digest({"seconds": 60}) == "0a83743df76ef1aa1031491a04e8d73d"


def test_large_arguments_are_digested_as_they_are() -> None:
    text = b'{"function":"f","payload":"' + LARGE.encode() + b'"}'
    given = {"payload": Json.of(LARGE), "function": "f"}
    assert arguments_json(given).data == text
    # Recorded in histories, too.
    assert digest(given) == digest(Json(text)) == "sha256:895e7a56dc7f1396793270de9756010d"
    assert digest(Json(text + b" ")) != digest(given)


def test_a_large_value_is_never_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"function": "f", "payload": Json.of(LARGE)}
    recorded = digest(given)
    monkeypatch.delattr(Json, "load")
    assert digest(given) == recorded
    assert matches(recorded, given)
    assert not matches(recorded, given | {"function": "g"})


@pytest.mark.parametrize("size", [1, 4000, 5000, 300_000])
def test_what_0_2_0_recorded_is_compared_in_its_way(size: int) -> None:
    payload = {"b": "é" * size, "a": [1e21, 0.1, "\u2028"]}
    recorded = digest_of_0_2_0({"function": "f", "payload": payload})
    assert matches(recorded, {"payload": Json.of(payload), "function": "f"})
    assert not matches(recorded, {"payload": Json.of(payload | {"b": ""}), "function": "f"})


def digest_of_0_2_0(arguments: Any) -> str:
    import hashlib

    canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def test_the_calls_of_a_history_of_0_2_0_are_known_again() -> None:
    lines = (GOLDEN / "history-0.2.0.jsonl").read_bytes().splitlines()
    calls = [event for event in map(decode_event, lines) if event.call is not None]
    asked: list[dict[str, Any]] = [
        {"function": "next", "payload": Json.of({"z": 1, "a": ["漢", 1.5]})},
        {"seconds": Json(b"60")},
        {"seconds": 60},
        {"function": "large", "payload": Json.of([[]] * 3000)},
        {"output": Json.of({"total": 7})},
    ]
    assert [matches(event.call.digest, given) for event, given in zip(calls, asked, strict=True) if event.call] == [
        True
    ] * 5
