"""What a single replay answers, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.events import at, call, history, plain
from workflow_operator.history import EventType, Json
from workflow_operator.history.errors import NonDeterminism
from workflow_operator.replay import Delivery, Mode, New, Recorded, Replay, Start, Unanswered

T = EventType


def replay(*steps: Any) -> Replay:
    return Replay(history(T.STARTED, *steps))


def mark(index: str, name: str = "transition", arguments: Any = None) -> Any:
    return (T.TRANSITION, {"call": call(index, name, arguments), "function": "next", "memory": arguments})


def timer(index: str, name: str = "sleep") -> Any:
    return (T.TIMER_STARTED, {"call": call(index, name), "fire_at": at(99)})


def fired(index: str, name: str = "sleep") -> Any:
    return (T.TIMER_FIRED, {"call": call(index, name)})


def done(index: str, name: str) -> Any:
    return (T.CALL_COMPLETED, {"call": call(index, name), "result": name})


def test_an_empty_history_knows_nothing() -> None:
    fresh = replay()
    assert (fresh.replaying, fresh.time, fresh.awaited) == (False, at(1), frozenset())
    assert fresh.call("transition", 1) == New(call("0.1", "transition", 1))
    assert fresh.call("transition", 1) == New(call("0.2", "transition", 1))


def test_a_synchronous_call_is_answered_by_its_own_index() -> None:
    again = replay(mark("0.1"), timer("0.2"), fired("0.2"), timer("0.3"))
    assert isinstance(again.call("transition", None), Recorded)
    assert (again.time, again.replaying) == (at(2), True)
    answered = again.call("sleep", None)
    assert isinstance(answered, Recorded)
    assert answered.event.type is T.TIMER_FIRED
    assert again.time == at(4)
    opened = again.call("sleep", None)
    assert isinstance(opened, Unanswered)
    assert opened.event.type is T.TIMER_STARTED
    assert (again.time, again.replaying) == (at(4), False)


@pytest.mark.parametrize(
    ("recorded", "asked", "same"),
    [
        ("1", "1", True),
        ("[1,2]", "[1, 2]", True),
        ("1", "2", False),
        # What is recorded at length is known by its digest; what stands in its place is a value like any other.
        (f'"{"x" * 5000}"', f'"{"x" * 5000}"', True),
        (f'"{"x" * 5000}"', f'"{"y" * 5000}"', False),
        (f'"{"x" * 5000}"', '"…"', False),
        ('"…"', '"…"', True),
    ],
    ids=lambda value: str(value)[:6],
)
@pytest.mark.parametrize("function", ["next", "other"])
def test_a_transition_is_the_one_that_was_recorded(recorded: str, asked: str, same: bool, function: str) -> None:
    payload = Json(recorded.encode())
    made = call("0.1", "transition", {"function": "next", "payload": payload})
    started, step = history(T.STARTED, (T.TRANSITION, {"call": made, "function": "next", "memory": payload}))
    again = Replay([started, step.replace(size=len(payload)).slim()])
    arguments = {"function": function, "payload": Json(asked.encode())}
    if same and function == "next":
        assert isinstance(again.call("transition", arguments), Recorded)
    else:
        with pytest.raises(NonDeterminism):
            again.call("transition", arguments)


def test_each_event_of_a_commit_is_passed_by_itself() -> None:
    started, *steps = history(T.STARTED, mark("0.1"), timer("0.2"), fired("0.2"), mark("0.3"))
    commit = [event.replace(sequence=2, previous=1, place=place) for place, event in enumerate(steps)]
    again = Replay([started, *commit])
    passed = []
    for name in ("transition", "sleep", "transition"):
        passed.append(again.replaying)
        again.call(name, None)
    assert passed == [True, True, True]
    assert not again.replaying


def test_the_clock_shows_an_answer_as_it_is_recorded() -> None:
    fresh = replay()
    fresh.call("sleep", None)
    opened, answer = history(timer("0.1"), fired("0.1"), first=7)
    fresh.record(opened)
    assert fresh.time == at(1)
    fresh.record(answer)
    assert fresh.time == at(8)


def test_completions_are_delivered_one_at_a_time_in_the_order_of_the_history() -> None:
    again = replay(done("0.2", "b"), done("0.1", "a"))
    again.call("a", None, Mode.ASYNC)
    again.call("b", None, Mode.ASYNC)
    assert again.time == at(1)
    assert again.awaited == {"0.1", "0.2"}
    first = again.next_delivery()
    assert isinstance(first, Delivery)
    assert (first.index, plain(first.event.result), again.time, again.replaying) == ("0.2", "b", at(2), True)
    assert again.call("c", None, Mode.ASYNC).call.index == "1.1"
    second = again.next_delivery()
    assert isinstance(second, Delivery)
    assert (second.index, again.time, again.replaying) == ("0.1", at(3), False)
    assert again.call("c", None, Mode.ASYNC).call.index == "2.1"
    assert again.next_delivery() is None


def test_log_lines_are_not_held_back_by_a_completion_that_arrives_in_a_live_run() -> None:
    fresh = replay()
    fresh.call("a", None, Mode.ASYNC)
    fresh.record(history(done("0.1", "a"), first=2)[0])
    assert not fresh.replaying


def test_the_function_of_a_recorded_step_is_not_run() -> None:
    again = replay(done("0.1", "step"), done("1.1", "next"))
    assert isinstance(again.call("step", None, Mode.FUNCTION), Recorded)
    settled = again.next_delivery()
    assert isinstance(settled, Delivery)
    assert settled.index == "0.1"
    assert isinstance(again.call("next", None), Recorded)
    assert not again.replaying
    assert again.next_start() is None
    again.check_finished()


def failed(index: str, name: str = "step") -> Any:
    return (T.ATTEMPT_FAILED, {"call": call(index, name), "retry_at": at(50)})


def test_functions_are_run_in_the_order_of_their_calls() -> None:
    again = replay(failed("0.1"), failed("0.1"))
    assert isinstance(again.call("step", None, Mode.FUNCTION), Unanswered)
    assert isinstance(again.call("step", None, Mode.FUNCTION), New)
    assert isinstance(again.call("other", None, Mode.ASYNC), New)
    assert [event.sequence for event in again.failures("0.1")] == [2, 3]
    assert again.failures("0.2") == ()
    assert again.next_delivery() is None
    # What failed before is run again when somebody says so.
    assert again.next_start() == Start("0.2")
    assert again.next_start() is None
    again.start_again("0.1")
    assert again.next_start() == Start("0.1")


def test_a_call_that_the_script_gave_up_is_passed_over() -> None:
    again = replay(done("0.1", "step"), done("0.2", "other"))
    again.call("step", None, Mode.FUNCTION)
    again.call("other", None, Mode.ASYNC)
    again.give_up("0.1")
    settled = again.next_delivery()
    assert isinstance(settled, Delivery)
    assert settled.index == "0.2"
    # Its place in the history is what counts.
    assert again.call("next", None, Mode.ASYNC).call.index == "2.1"
    assert again.next_delivery() is None
    assert not again.replaying


def test_a_function_whose_call_was_given_up_is_not_run() -> None:
    fresh = replay()
    fresh.call("step", None, Mode.FUNCTION)
    fresh.give_up("0.1")
    assert fresh.next_start() is None


def test_the_answers_of_a_turn_are_those_of_its_synchronous_calls() -> None:
    again = replay(mark("0.1"), done("0.2", "a"), mark("1.1"), mark("1.3"), done("1.2", "a"))
    assert [event.sequence for event in again.answers({"a"})] == [2]
    again.call("transition", None)
    again.call("a", None, Mode.ASYNC)
    assert isinstance(again.next_delivery(), Delivery)
    assert [event.sequence for event in again.answers({"a"})] == [4, 5]


@pytest.mark.parametrize(
    ("recorded", "asked", "texts"),
    [
        (
            mark("0.1", "transition", "then"),
            ("sleep", 5),
            ["call 0.1", 'transition({"function":"next","payload":"then"})', "sequence 2", "sleep(5)"],
        ),
        (
            mark("0.1", "transition", "then"),
            ("transition", "now"),
            ['"payload":"then"})', 'with other arguments, transition("now")'],
        ),
        (timer("0.2"), ("sleep", None), ["call 0.1", "holds sleep", "asks for sleep(null)"]),
        (done("0.1", "a"), ("b", "x" * 500), ["holds a ", "b(", "…"]),
    ],
)
def test_another_call_than_the_recorded_one_names_both(recorded: Any, asked: tuple[str, Any], texts: list[str]) -> None:
    with pytest.raises(NonDeterminism) as raised:
        replay(recorded).call(*asked)
    for text in texts:
        assert text in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_call_more_at_the_end_of_a_turn_is_seen() -> None:
    again = replay(done("0.1", "a"), mark("1.1"))
    again.call("a", None, Mode.ASYNC)
    with pytest.raises(NonDeterminism, match=r"holds transition.* asks for extra"):
        again.call("extra", None)


@pytest.mark.parametrize("recorded", [timer("0.1"), done("0.1", "sleep")], ids=["opened", "completed"])
def test_a_call_less_is_seen_when_the_script_is_idle_and_when_it_ends(recorded: Any) -> None:
    with pytest.raises(NonDeterminism, match=r"holds sleep.*without making it"):
        replay(recorded).next_delivery()
    with pytest.raises(NonDeterminism, match=r"holds sleep.*without making it"):
        replay(recorded).check_finished()


def test_a_script_may_end_before_all_is_settled() -> None:
    again = replay(done("0.1", "a"), done("0.2", "b"))
    again.call("a", None, Mode.ASYNC)
    again.call("b", None, Mode.ASYNC)
    again.next_delivery()
    again.check_finished()
