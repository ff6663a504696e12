"""What 0.2.0 recorded is replayed as if it had been recorded today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workflow_operator.history import Json, decode_event
from workflow_operator.history.errors import NonDeterminism
from workflow_operator.replay import Recorded, Replay

LINES = (Path(__file__).parent.parent / "history" / "golden" / "history-0.2.0.jsonl").read_bytes().splitlines()
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("transition", {"function": "next", "payload": Json.of({"z": 1, "a": ["漢", 1.5]})}),
    ("sleep", {"seconds": 60}),
    ("transition", {"function": "large", "payload": Json.of([[]] * 3000)}),
    ("finish", {"output": Json.of({"total": 7})}),
]


def replay() -> Replay:
    events = [decode_event(line, sequence=place, previous=place - 1) for place, line in enumerate(LINES, 1)]
    return Replay([event.slim() for event in events])


def test_every_call_is_answered_from_the_history() -> None:
    again = replay()
    for name, arguments in CALLS:
        assert isinstance(again.call(name, arguments), Recorded)
    again.check_finished()
    assert not again.replaying


@pytest.mark.parametrize("place", range(len(CALLS)))
def test_other_arguments_are_another_call(place: int) -> None:
    again = replay()
    for name, arguments in CALLS[:place]:
        again.call(name, arguments)
    name, arguments = CALLS[place]
    with pytest.raises(NonDeterminism, match=f"call 0.{place + 1}"):
        again.call(name, dict.fromkeys(arguments, Json.of("changed")))
