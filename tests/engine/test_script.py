"""How a script ends, and how it runs again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.events import KEY, at, event, plain
from tests.fakes.sandbox import (
    FakeSandboxes,
    ScriptBody,
    compute,
    does,
    finish,
    log,
    raises,
    returns,
    sleep,
    transition,
)
from tests.fakes.world import HandDelivery, Wire, World, check, driven, when
from workflow_operator.engine import EngineLimits
from workflow_operator.engine.driving.drive import drive
from workflow_operator.engine.driving.holding import Holding
from workflow_operator.engine.outcome import parks
from workflow_operator.history import Caught, CaughtStep, Commit, EventType, InstanceEvent, Json
from workflow_operator.history.errors import (
    EngineCrash,
    PayloadTooLarge,
    ScriptError,
    Thrown,
    Timeout,
    Unavailable,
)
from workflow_operator.javascript.host import Limits, Returned

T = EventType


# --- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "output"),
    [
        (returns, None),
        (does(), "returned"),
        (does(finish(7)), 7),
        (does(finish(None)), None),
        (does(finish(7), finish(8)), 7),
        (does(finish(7), finish(8), transition("next"), finish(9)), 7),
        (raises(Thrown("TypeError", "x"), finish(7)), 7),
        (raises(Timeout("too long"), finish(7)), 7),
    ],
)
@pytest.mark.parametrize("again", [False, True], ids=["once", "replayed before its end"])
async def test_the_output_of_a_run(script: Any, output: Any, again: bool) -> None:
    world = World(script)
    if again:

        def lose_the_end(event: InstanceEvent) -> bool:
            return event.terminal

        await _stop_before(world, lose_the_end)
        await world.drive_once("b", delivery=HandDelivery(attempt=2))
        events = await world.history()
        check(events)
    else:
        events, fate = await driven(world)
        assert fate == ["ack"]
    assert (events[-1].type, plain(events[-1].output)) == (T.SUCCEEDED, output)
    assert events[-1].has("output")
    assert len([event for event in events if event.type is T.OUTPUT]) <= 1


async def test_an_error_after_finish_is_logged() -> None:
    world = World(raises(Thrown("TypeError", "x"), finish(7)))
    await driven(world)
    assert world.lines == ["after finish(): TypeError: x"]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (Thrown("TypeError", "no", line=3, column=4), "TypeError"),
        (Timeout("too long"), "Timeout"),
        (PayloadTooLarge("too large"), "PayloadTooLarge"),
    ],
)
async def test_what_ends_a_run_as_failed(error: ScriptError, name: str) -> None:
    events, fate = await driven(World(raises(error, transition("one"))))
    assert fate == ["ack"]
    shown = events[-1].error
    assert events[-1].type is T.FAILED
    assert shown is not None
    assert (shown.name, shown.message, shown.line, shown.column) == (name, error.message, error.line, error.column)


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("script", "name"),
    [
        (does(transition("next", _deep(150))), "NotSerializable"),
        (does(finish(_deep(150))), "NotSerializable"),
        (lambda _: (yield from _returning(_deep(150))), "NotSerializable"),
        (lambda _: (yield from _returning("x" * 2_000_000)), "PayloadTooLarge"),
        (does(transition("next", "x" * 2_000_000)), "PayloadTooLarge"),
        (raises(Thrown("E" * 2_000_000, "x" * 2_000_000)), "E" * 256),
        (raises(Thrown("\ud800", "\ud800")), "\ufffd"),
        (does(sleep(1e30)), "RangeError"),
        (does(sleep(100 * 365 * 24 * 3600 + 1)), "RangeError"),
    ],
)
async def test_a_value_that_no_history_holds_ends_the_run_and_not_its_executors(script: Any, name: str) -> None:
    events, fate = await driven(World(script))
    assert fate == ["ack"]
    assert events[-1].type is T.FAILED
    assert events[-1].error is not None
    assert events[-1].error.name == name
    assert len(events[-1].error.message) <= 8192


def _returning(value: Any) -> ScriptBody:
    return value
    yield


async def test_half_a_surrogate_pair_is_recorded_as_a_replacement() -> None:
    events, _ = await driven(World(does(transition("\ud800", {"\ud800": "\udc00"}), finish("\ud800"))))
    assert events[1].function == "\ufffd"
    assert plain(events[1].memory) == {"\ufffd": "\ufffd"}
    assert plain(events[-1].output) == "\ufffd"


@pytest.mark.parametrize("error", [EngineCrash("the process died"), Unavailable("no answer")])
async def test_what_may_go_away_by_itself_records_nothing(error: Exception) -> None:
    def script(_: Any) -> ScriptBody:
        raise error
        yield

    world = World(script)
    await world.start()
    delivery = HandDelivery()
    with pytest.raises(type(error)):
        await world.drive_once(delivery=delivery)
    assert (await world.types(), delivery.fate) == ([T.STARTED], [])
    assert world.sandboxes.open == 0


# --- replay --------------------------------------------------------------------------------------------------------


async def _stop_before(world: World, which: Callable[[InstanceEvent], bool]) -> None:
    """Drive until an event that ``which`` accepts would be appended; that executor is lost, with all that it holds."""
    await world.start()
    wire = Wire()
    append = world.bus.append

    async def refuse(events: Commit, expected: int) -> list[InstanceEvent]:
        if any(map(which, events)):
            wire.cut = True
            raise asyncio.CancelledError
        return await append(events, expected)

    world.bus.append = refuse  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await world.drive_once("lost", wire, HandDelivery())
    world.bus.append = append  # type: ignore[method-assign]


def _caught(name: str) -> Caught:
    return Caught(steps=(CaughtStep(function=name, error="Error: no"),))


def _catching(_: Any) -> ScriptBody:
    yield transition("a")
    yield replace(transition("b"), caught=_caught("a"))
    yield replace(sleep(1), caught=_caught("b"))
    yield replace(finish(7), caught=_caught("c"))
    return Returned(Json.NULL, _caught("d"))


_CAUGHT = {T.TRANSITION: _caught("a"), T.TIMER_STARTED: _caught("b"), T.OUTPUT: _caught("c"), T.SUCCEEDED: _caught("d")}


@pytest.mark.parametrize("lost_at", [None, *_CAUGHT])
async def test_what_the_script_caught_is_told_once_with_what_it_did_next(lost_at: EventType | None) -> None:
    world = World(_catching)
    if lost_at is None:
        events, _ = await driven(world)
    else:
        await _stop_before(world, lambda event: event.type is lost_at and event.caught is not None)
        await world.drive_once("b", delivery=HandDelivery(attempt=2))
        events = await world.history()
    assert [(event.type, event.caught) for event in events if event.caught] == list(_CAUGHT.items())


async def test_what_the_script_caught_is_no_part_of_the_call() -> None:
    """A replay that tells something else, as one of a release that told nothing, takes the same way."""
    world = World(_catching)
    await _stop_before(world, lambda event: event.terminal)
    told = [event.caught for event in await world.history()]
    world.sandboxes.script = does(transition("a"), transition("b"), sleep(1), finish(7))
    await world.drive_once("b", delivery=HandDelivery(attempt=2))
    events = await world.history()
    assert [event.caught for event in events][: len(told)] == told
    assert (events[-1].type, events[-1].caught) == (T.SUCCEEDED, None)


async def test_log_lines_up_to_the_last_recorded_event_are_not_repeated() -> None:
    world = World(does(log("1"), transition("a"), compute(), log("2"), transition("b"), compute(), log("3")))
    await _stop_before(world, lambda event: event.function == "b")
    assert world.lines == ["1", "2"]
    world.lines.clear()
    await world.drive_once("b", delivery=HandDelivery(attempt=2))
    assert world.lines == ["2", "3"]


async def test_so_many_bytes_are_printed_between_two_events_and_a_replay_prints_none() -> None:
    told = "more than 10 bytes of log lines: dropped until the next call"
    steps = [
        log("12345"),
        log("6789"),
        log("lost"),
        transition("a"),
        compute(),
        log("6789"),
        transition("b"),
        compute(),
    ]
    script = does(*steps, log("123"), log("45678"), log("lost"))
    world = World(script, sandbox=Limits(log_bytes=10))
    await _stop_before(world, lambda event: event.function == "b")
    assert world.lines == ["12345", told, "6789"]
    world.lines.clear()
    await world.drive_once("b", delivery=HandDelivery(attempt=2))
    assert world.lines == ["6789", "123", "45678", told]


@pytest.mark.parametrize(
    ("changed", "texts"),
    [
        (does(transition("z"), transition("b")), ['with other arguments, transition({"function":"z"']),
        (does(transition("a"), sleep(3)), ["holds transition", "asks for sleep"]),
        (does(transition("a")), ["holds transition", "without making it"]),
        (raises(Thrown("TypeError", "x"), transition("a")), ["holds transition", "without making it"]),
    ],
)
async def test_a_script_that_changed_its_mind_fails_and_says_so(changed: Any, texts: list[str]) -> None:
    world = World(does(transition("a"), transition("b"), compute()))
    await _stop_before(world, lambda event: event.terminal)
    world.sandboxes.script = changed
    await world.drive_once("b", delivery=HandDelivery(attempt=2))
    last = (await world.history())[-1]
    assert last.type is T.FAILED
    assert last.error is not None
    assert last.error.name == "NonDeterminism"
    for text in texts:
        assert text in last.error.message


async def test_a_limit_met_in_a_replay_is_not_taken_for_another_way() -> None:
    world = World(does(transition("a"), transition("b"), compute()))
    await _stop_before(world, lambda event: event.terminal)
    world.sandboxes.script = raises(Timeout("too long"), transition("a"))
    await world.drive_once("b", delivery=HandDelivery(attempt=2))
    error = (await world.history())[-1].error
    assert error is not None
    assert error.name == "Timeout"


async def test_the_clock_of_a_script_is_the_same_in_a_replay() -> None:
    seen: list[int] = []

    def script(_: Any) -> ScriptBody:
        for call in (transition("a"), sleep(3), finish(1)):
            seen.append((yield call))  # noqa: PERF401
        yield compute()

    world = World(script)
    await _stop_before(world, lambda event: event.terminal)
    first = seen.copy()
    seen.clear()
    await world.clock.advance(1000)
    await world.drive_once("b", delivery=HandDelivery(attempt=2))
    assert first == seen == [when(at(0)), when(at(3)), when(at(3))]


async def test_a_job_says_all_that_the_sandbox_needs() -> None:
    world = World(returns)
    await driven(world, fn="main", args={"a": [1]})
    job = world.sandboxes.sessions[0].job
    assert job is not None
    assert (job.script, job.entrypoint, job.input_json) == ("source", "main", '{"a":[1]}')
    assert (job.instance_id, job.time_ms, job.limits) == (str(KEY.instance_id), when(at(0)), world.limits.sandbox)
    assert world.sandboxes.namespaces == [KEY.namespace]
    assert not job.lenient


async def test_a_run_that_an_older_release_started_keeps_its_rules() -> None:
    world = World(returns)
    await world.bus.push_instance_event(event(T.STARTED, script="source"), expected=0)
    await world.drive_once("a", delivery=HandDelivery())
    job = world.sandboxes.sessions[0].job
    assert job is not None
    assert job.lenient


# --- how much it may record ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "recorded"),
    [({"history_events": 4}, 3), ({"history_bytes": 3000}, 3), ({}, 5)],
    ids=["events", "bytes", "neither"],
)
async def test_a_history_has_an_end(limits: dict[str, int], recorded: int) -> None:
    steps = [transition("next", "x" * 1000) for _ in range(5)]
    events, _ = await driven(World(does(*steps), **limits))
    assert sum(event.type is T.TRANSITION for event in events) == recorded
    if limits:
        assert events[-1].error is not None
        assert events[-1].error.name == "HistoryLimit"
        assert f"{limits.get('history_events', 51_200)} events" in events[-1].error.message
    else:
        assert events[-1].type is T.SUCCEEDED


async def test_large_payloads_replay_as_small_ones_do() -> None:
    world = World(does(transition("next", "x" * 10_000), transition("next", "y" * 10_000), compute()))
    await _stop_before(world, lambda event: event.terminal)
    await world.drive_once("b", delivery=HandDelivery(attempt=2))
    events = await world.history()
    check(events)
    assert [plain(event.memory) for event in events if event.type is T.TRANSITION] == ["x" * 10_000, "y" * 10_000]


async def test_a_changed_large_payload_is_seen() -> None:
    world = World(does(transition("next", "x" * 10_000), transition("last"), compute()))
    await _stop_before(world, lambda event: event.terminal)
    world.sandboxes = FakeSandboxes(does(transition("next", "x" * 9_999 + "y"), transition("last")))
    await world.drive_once("b", delivery=HandDelivery(attempt=2))
    last = (await world.history())[-1]
    assert last.error is not None
    assert last.error.name == "NonDeterminism"


# --- how long it may keep others waiting ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remaining", "held", "parked"),
    [(5.0, 0.0, False), (5.1, 0.0, True), (0.1, 30.0, False), (0.1, 30.1, True), (0.0, 31.0, False)],
)
def test_which_sleep_gives_up_the_slot(remaining: float, held: float, parked: bool) -> None:
    assert parks(remaining, held, EngineLimits(park_after_seconds=5.0, slice_seconds=30.0)) is parked


async def test_a_run_that_sleeps_little_and_often_gives_up_its_slot_in_between() -> None:
    world = World(does(*[sleep(1)] * 6), slice_seconds=2.0)
    await world.start()
    delivery = HandDelivery()
    driving = asyncio.create_task(drive(world.context(), Holding(delivery)))
    await world.clock.pass_until(driving.done)
    assert delivery.fate[-1] == "ack"
    types = [event.type for event in await world.history()]
    assert types[-1] is T.WAITING
    assert types.count(T.TIMER_FIRED) == 3
    assert list(world.queue.timers.values()) == [at(4)]
