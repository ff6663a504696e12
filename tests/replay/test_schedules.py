"""Any program, completions in any order, a crash anywhere: the replay must be the same run."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.events import history
from tests.fakes.program import CALLS, Block, Model, Run, Statement, as_recorded, at_random, labelled
from workflow_operator.history import EventType, InstanceEvent
from workflow_operator.history.errors import NonDeterminism

COMPLETIONS = {EventType.TIMER_FIRED, EventType.CALL_COMPLETED}
STARTED = history(EventType.STARTED)

_statements = st.builds(
    Statement,
    kind=st.sampled_from(
        ["sync", "mark", "syncTimer", "async", "async", "timer", "step", "step", "await", "await", "race", "all", "log"]
    ),
    argument=st.integers(0, 3),
)
_blocks = st.lists(_statements, min_size=1, max_size=9)
# Most end when all is settled; the rest leave calls in flight.
_endings = st.sampled_from([(Statement("all"),), (Statement("all"), Statement("log")), ()])
programs = st.builds(lambda block, ending: labelled((*block, *ending)), _blocks, _endings)
schedule = settings(derandomize=True, deadline=None, max_examples=30, database=None)


def live(program: Block, seed: int) -> Run:
    return Model(program, STARTED, at_random(Random(seed))).execute()


def completed(events: list[InstanceEvent]) -> list[str]:
    return [event.call.index for event in events if event.call is not None and event.type in COMPLETIONS]


@schedule
@given(programs, st.integers(0, 2**32))
def test_a_live_run_never_replays_and_gives_every_call_an_index_of_its_own(program: Block, seed: int) -> None:
    run = live(program, seed)
    indexes = [made.index for made in run.made]
    assert len(set(indexes)) == len(indexes)
    assert not any(replaying for _, replaying, _ in run.logged)
    assert all(shown == expected for shown, expected in run.clock)


@schedule
@given(programs, st.integers(0, 2**32))
def test_after_a_crash_anywhere_the_same_completions_give_the_same_run(program: Block, seed: int) -> None:
    first = live(program, seed)
    for length in range(1, len(first.events) + 1):
        prefix = first.events[:length]
        again = Model(program, prefix, as_recorded(first.events)).execute()

        assert again.result == first.result
        # The first run may have recorded more while it ended.
        assert completed(again.events) == completed(first.events)[: len(completed(again.events))]
        assert again.made == first.made
        assert not set(again.done) & set(completed(prefix))
        # No function is run of which the history may yet tell something.
        assert all(known >= length for _, known in again.started)
        assert not {index for index, _ in again.started} & set(completed(prefix))
        assert all(shown == expected for shown, expected in again.clock)
        assert again.events[:length] == prefix


@schedule
@given(programs, st.integers(0, 2**32), st.integers(0, 2**32))
def test_after_a_crash_anywhere_what_was_recorded_stays_and_the_rest_may_differ(
    program: Block, seed: int, other: int
) -> None:
    first = live(program, seed)
    for length in range(1, len(first.events) + 1):
        prefix = first.events[:length]
        again = Model(program, prefix, at_random(Random(other + length))).execute()
        recorded = {event.sequence for event in prefix}

        before = [sequence for sequence in first.delivered if sequence in recorded]
        kept = [event.sequence for event in prefix if event.call is not None]
        expected = [sequence for sequence in before if sequence in kept]
        assert [sequence for sequence in again.delivered if sequence in recorded][: len(expected)] == expected
        assert len(set(completed(again.events))) == len(completed(again.events))
        assert not set(again.done) & set(completed(prefix))
        for label, replaying, passed in again.logged:
            assert replaying == bool(set(kept) - passed), label


@schedule
@given(programs, st.integers(0, 2**32), st.data())
def test_a_changed_program_is_refused_where_the_history_covers_it(
    program: Block, seed: int, data: st.DataObject
) -> None:
    first = live(program, seed)
    recorded = {event.call.index for event in first.events if event.call is not None}
    covered = sorted(made.label for made in first.made if made.index in recorded)
    if not covered:
        return
    label = data.draw(st.sampled_from(covered))
    for change, asked in _CHANGES.items():
        changed = _change(program, label, change)
        with pytest.raises(NonDeterminism) as raised:
            Model(changed, first.events, at_random(Random(seed))).execute()
        if asked is not None:
            assert label in str(raised.value), change
            assert asked in str(raised.value), change


_CHANGES = {"rename": "renamed", "argue": "other arguments", "insert": "inserted", "remove": None}


def _change(block: Block, label: str, change: str) -> Block:
    changed: list[Statement] = []
    for item in block:
        if item.label != label:
            changed.append(item)
            continue
        assert item.kind in CALLS
        match change:
            case "rename":
                changed.append(replace(item, label="renamed"))
            case "argue":
                changed.append(replace(item, argument=item.argument + 100))
            case "insert":
                changed += [Statement("sync", "inserted"), item]
    return tuple(changed)
