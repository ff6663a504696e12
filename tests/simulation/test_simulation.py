"""The engine on a thousand bad days; and that the simulation of them would see it if the engine were wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any

import pytest

from tests.fakes.memory import MemoryDataBus
from tests.simulation.run import Simulation
from workflow_operator.engine import runner
from workflow_operator.engine.driving import tail
from workflow_operator.engine.driving.tail import Tail
from workflow_operator.history import Commit, EventType, InstanceEvent, encode_commit
from workflow_operator.history.errors import Conflict
from workflow_operator.replay import Suspensions, claims

T = EventType
FOUND_WITHIN = 400


async def test_nothing_is_lost_doubled_or_told_too_early_whoever_dies() -> None:
    for seed in range(60):
        await _simulate(seed)


@pytest.mark.integration
async def test_neither_in_a_thousand_runs() -> None:
    for seed in range(60, 1000):
        await _simulate(seed)


async def _simulate(seed: int) -> None:
    try:
        await Simulation(seed).run()
    except AssertionError as error:
        raise AssertionError(f"python -m tests.simulation {seed}: {error}") from error


async def test_a_seed_is_always_the_same_run() -> None:
    traces = []
    for _ in range(2):
        simulation = Simulation(6)
        await simulation.run()
        traces.append(simulation.trace)
    assert len(traces[0]) > 20
    assert traces[0] == traces[1]


# --- what it would see ----------------------------------------------------------------------------------------------


def _no_flush_before_an_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    flush = Tail.flush

    async def late(self: Tail) -> None:
        if self._held and self._held[-1].type not in (T.TIMER_STARTED, T.TIMER_FIRED):
            await flush(self)

    monkeypatch.setattr(Tail, "flush", late)


def _no_flush_behind(kind: EventType, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = Tail.flush

    async def late(self: Tail) -> None:
        if not self._held or self._held[-1].type is not kind:
            await flush(self)

    monkeypatch.setattr(Tail, "flush", late)


def _no_flush_before_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_flush_behind(T.TRANSITION, monkeypatch)


def _no_flush_before_an_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_flush_behind(T.CALL_COMPLETED, monkeypatch)


def _no_flush_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "HELD_SECONDS", 1.0)


def _no_compare_and_set(monkeypatch: pytest.MonkeyPatch) -> None:
    async def append(self: MemoryDataBus, events: Commit, expected: int) -> list[InstanceEvent]:
        commit = encode_commit(events)
        self._last_commit += 1
        self._commits.setdefault(events[0].key, []).append((self._last_commit, expected, commit.data))
        return commit.stored(events, sequence=self._last_commit, previous=expected)

    monkeypatch.setattr(MemoryDataBus, "append", append)


def _no_recognition(monkeypatch: pytest.MonkeyPatch) -> None:
    append = MemoryDataBus.append

    async def forgetful(self: MemoryDataBus, events: Commit, expected: int) -> list[InstanceEvent]:
        history = self._commits.get(events[0].key)
        if history and history[-1][0] != expected:
            raise Conflict("someone was first")
        return await append(self, events, expected)

    monkeypatch.setattr(MemoryDataBus, "append", forgetful)


def _no_overtaking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "overtaken_by", lambda _: None)


def _what_meets_an_input_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Tail._look_anew

    async def careless(self: Tail) -> None:
        await look(self)
        self._held = self._held[-1:]

    monkeypatch.setattr(Tail, "_look_anew", careless)


def _times_are_those_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Tail._made

    def undated(self: Tail, kind: EventType, *, at: datetime | None = None, **fields: Any) -> InstanceEvent:
        return made(self, kind, **fields)

    monkeypatch.setattr(Tail, "_made", undated)


def _a_suspended_run_is_driven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "Suspensions", lambda _: Suspensions())


def _a_toggle_is_dated_by_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_before_the_last", lambda status: 0 if status is None else status.history_sequence)


MISTAKES: list[Callable[[pytest.MonkeyPatch], None]] = [
    _no_flush_before_an_effect,
    _no_flush_before_a_request,
    _no_flush_before_an_answer_is_told,
    _no_flush_in_time,
    _no_compare_and_set,
    _no_recognition,
    _no_overtaking,
    _what_meets_an_input_is_dropped,
    _times_are_those_of_the_clock,
    _a_suspended_run_is_driven,
    _a_toggle_is_dated_by_its_clock,
]


@pytest.mark.integration
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__.strip("_"))
async def test_it_sees_that(mistake: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    mistake(monkeypatch)
    for seed in count():
        assert seed < FOUND_WITHIN, "nothing was found"
        try:
            await Simulation(seed).run()
        except AssertionError as error:
            print(f"seed {seed}: {str(error).splitlines()[0]}")
            return
