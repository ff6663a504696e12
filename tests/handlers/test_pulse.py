"""Whether a watch lives, by what it said and when."""

import pytest

from workflow_operator.handlers.pulse import ANSWERING_SECONDS, DEAD_SECONDS, SILENT_SECONDS, Pulse


def test_a_watch_that_speaks_each_minute_is_well() -> None:
    pulse = Pulse(1, 0.0)
    pulse.listed("all")
    for minute in range(100):
        pulse.heard("all", 60.0 * minute)
        pulse.server_answers(True, 60.0 * minute)
        assert pulse.problem(60.0 * minute + 59) is None
        assert not pulse.dead(60.0 * minute + 59)


def test_it_is_not_well_before_the_list_is_read() -> None:
    pulse = Pulse(1, 0.0)
    pulse.heard("all", 0.5)
    assert (pulse.begun, pulse.problem(1.0)) == (False, "has not read the list of all runs yet")
    pulse.listed("all")
    assert (pulse.begun, pulse.problem(1.0)) == (True, None)


def test_silence_is_told_of_and_then_ends_the_process() -> None:
    pulse = Pulse(1, 0.0)
    pulse.listed("all")
    pulse.heard("all", 10.0)
    pulse.server_answers(True, 10.0)
    assert pulse.problem(9.9 + SILENT_SECONDS) is None
    assert pulse.problem(10.0 + SILENT_SECONDS) == "has said nothing for 75 s; expected something each 60 s"
    assert [pulse.dead(10.0 + seconds) for seconds in (DEAD_SECONDS - 1, DEAD_SECONDS)] == [False, True]
    pulse.heard("all", 130.0)
    assert (pulse.problem(131.0), pulse.dead(131.0)) == (None, False)


def test_an_api_server_that_is_away_ends_nothing() -> None:
    pulse = Pulse(1, 0.0)
    pulse.heard("all", 0.0)
    pulse.server_answers(False, 5.0)
    assert not pulse.dead(3600.0)
    pulse.server_answers(True, 3600.0)
    ends = [pulse.dead(3600.0 + seconds) for seconds in (ANSWERING_SECONDS - 1, ANSWERING_SECONDS)]
    assert ends == [False, True], "the watch had time to come back"
    pulse.server_answers(False, 3640.0)
    assert not pulse.dead(3641.0)


@pytest.mark.parametrize("quiet", ["a", "b"])
def test_the_quietest_of_several_counts(quiet: str) -> None:
    pulse = Pulse(2, 0.0)
    pulse.heard("a", 5.0)
    pulse.listed("a")
    assert pulse.problem(6.0) == "has not read the list of all runs yet"
    pulse.heard("b", 6.0)
    pulse.listed("b")
    assert pulse.problem(7.0) is None
    pulse.heard({"a": "b", "b": "a"}[quiet], 90.0)
    assert pulse.problem(91.0) is not None


def test_one_of_several_that_never_begins() -> None:
    pulse = Pulse(2, 0.0)
    pulse.server_answers(True, 0.0)
    pulse.heard("a", 100.0)
    assert pulse.dead(DEAD_SECONDS)
