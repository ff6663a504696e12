"""Tables as people read them."""

import json
from datetime import timedelta

import pytest

from tests.fakes.records import MOMENT, event, new_key, status
from workflow_operator.cli.output import as_json, detail, event_line, events_table, statuses_table
from workflow_operator.history import (
    CallRecord,
    Caught,
    CaughtStep,
    ErrorInfo,
    EventType,
    ExecutorRef,
    InstanceEvent,
    Origin,
    StatusValue,
)

KEY = new_key()
CALL = CallRecord(index="0.1", name="transition", digest="d")
ERROR = ErrorInfo(name="E", message="m")
PLACED = ErrorInfo(name="E", message="m", line=2, column=3)
LINE_ONLY = ErrorInfo(name="E", message="m", line=2)
CAUGHT = Caught(steps=(CaughtStep(function="reserve", error="TypeError: no"), CaughtStep(function="pay")), more=2)
ONE_CAUGHT = Caught(steps=(CaughtStep(function="reserve"),))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (event(KEY, EventType.STARTED), ""),
        (event(KEY, EventType.STARTED, input=None), "input null"),
        (event(KEY, EventType.TRANSITION, call=CALL, function="pay", memory={"ü": 1}), 'pay({"ü":1})'),
        (
            event(KEY, EventType.TRANSITION, call=CALL, function="charge", memory=1, caught=CAUGHT),
            "charge(1); caught before: reserve threw TypeError: no, pay threw, and 2 more",
        ),
        (event(KEY, EventType.SUCCEEDED, output=1, caught=ONE_CAUGHT), "1; caught before: reserve threw"),
        (event(KEY, EventType.OUTPUT, output="x" * 200), '"' + "x" * 78 + "…"),
        (event(KEY, EventType.FAILED, error=ERROR), "E: m"),
        (event(KEY, EventType.FAILED, error=PLACED), "E: m (line 2, column 3)"),
        (event(KEY, EventType.FAILED, error=LINE_ONLY), "E: m (line 2)"),
        (event(KEY, EventType.CANCELLED, reason="deleted"), "deleted"),
    ],
)
def test_the_telling_part_of_an_event(shown: InstanceEvent, expected: str) -> None:
    assert detail(shown) == expected


def test_every_type_of_event_has_a_line() -> None:
    for kind in EventType:
        made = event(KEY, kind, call=CALL, fire_at=MOMENT, wake_at=MOMENT, function="f", error=ERROR)
        assert kind in event_line(made)


def test_a_history_is_a_table() -> None:
    executor = ExecutorRef(id="replica", epoch=2)
    events = [
        event(KEY).replace(sequence=1),
        event(KEY, EventType.TRANSITION, call=CALL, function="f", memory=1, executor=executor).replace(sequence=12),
    ]
    head, first, second = events_table(events).splitlines()
    assert head.split() == ["SEQ", "TIME", "EVENT", "CALL", "DETAIL", "EXECUTOR"]
    assert first.split()[0] == "1"
    assert second.split()[0] == "12"
    assert second.split()[2:] == ["transition", "0.1", "f(1)", "replica/2"]


def test_events_of_one_commit_are_told_apart_by_their_place() -> None:
    events = [event(KEY).replace(sequence=7, place=place) for place in range(3)] + [event(KEY).replace(sequence=9)]
    _, *rows = events_table(events).splitlines()
    assert [row.split()[0] for row in rows] == ["7", "7.1", "7.2", "9"]


def test_an_event_is_one_row_whatever_its_error_says() -> None:
    error = ErrorInfo(name="Error", message="outer\ncaused by TypeError: inner (line 2)", line=3)
    _, row = events_table([event(KEY, EventType.FAILED, error=error)]).splitlines()
    assert row.endswith("Error: outer (line 3); caused by TypeError: inner (line 2)")


def test_a_status_is_a_row() -> None:
    ended = status(
        KEY,
        status=StatusValue.COMPLETE,
        ended_at=MOMENT + timedelta(seconds=1.5),
        steps=3,
        origin=Origin(cluster="c", name="nightly"),
    )
    _, row = statuses_table([ended]).splitlines()
    assert row.split()[:5] == ["default", "nightly", "Complete", "Succeeded", "3"]
    assert row.split()[-1] == str(KEY.instance_id)


# What clears the screen, sets the title, colours, is an 8-bit CSI, ends a line, deletes, or turns the order of writing.
STEERING = "\x1b[2J\x1b]0;title\x07\x9b31m\r\n\u2028\x7f\u202e\u2066"


@pytest.mark.parametrize(
    "hostile",
    [
        event(KEY, EventType.FAILED, error=ErrorInfo(name=STEERING, message=STEERING)),
        event(KEY, EventType.TRANSITION, call=CALL, function=STEERING, memory=STEERING),
        event(KEY, EventType.SUCCEEDED, output=STEERING),
        event(KEY, EventType.OUTPUT, caught=Caught(steps=(CaughtStep(function=STEERING, error=STEERING),))),
        event(KEY, EventType.CANCELLED, reason=STEERING),
    ],
)
def test_what_a_script_names_does_not_steer_the_terminal_of_who_looks(hostile: InstanceEvent) -> None:
    table = events_table([hostile.replace(sequence=1)])
    assert len(table.splitlines()) == 2
    assert all(line.isprintable() for line in event_line(hostile).split("\n"))
    shown = as_json({"message": STEERING})
    assert json.loads(shown) == {"message": STEERING}
    assert all(line.isprintable() for line in shown.split("\n"))
