"""How slots are shared: tables, and hostile mixes of namespaces by a seeded simulation."""

from __future__ import annotations

from collections import Counter, deque
from math import log2
from random import Random

import pytest

from workflow_operator.engine.limits import EngineLimits
from workflow_operator.engine.share import Shares, may_take


@pytest.mark.parametrize(
    ("held", "free", "share", "allowed"),
    [
        # The first one is anybody's.
        (0, 1, 0.5, True),
        (0, 1, 0.01, True),
        (0, 0, 1.0, False),
        # Alone with 16: half of them, three quarters, all.
        (7, 9, 0.5, True),
        (8, 8, 0.5, False),
        (11, 5, 0.75, True),
        (12, 4, 0.75, False),
        (15, 1, 1.0, True),
        # Beside one that has five already.
        (4, 7, 0.5, True),
        (5, 6, 0.5, True),
        (6, 5, 0.5, False),
        # Of two, one; of one, the only one.
        (1, 1, 0.5, False),
        (1, 2, 0.5, True),
    ],
)
def test_may_take(held: int, free: int, share: float, allowed: bool) -> None:
    assert may_take(held, free, share) is allowed


def filled(namespaces: int, slots: int, share: float) -> Shares:
    """After each of them has taken as much as it could, in turn."""
    shares = Shares(EngineLimits(slots=slots, namespace_slots_share=share))
    took = True
    while took:
        took = False
        for number in range(namespaces):
            if shares.admits(f"hog-{number}", 0.0):
                shares.take(f"hog-{number}")
                took = True
    return shares


@pytest.mark.parametrize("slots", [2, 4, 16, 64])
@pytest.mark.parametrize("share", [0.25, 0.5])
def test_as_many_hogs_as_there_are_slots_but_one_leave_one_free(slots: int, share: float) -> None:
    for namespaces in range(1, slots):
        assert filled(namespaces, slots, share).free >= 1, namespaces


def test_who_was_refused_waits_and_so_does_everybody_while_nothing_is_free() -> None:
    shares = filled(1, 4, 0.5)
    assert shares.contended("hog-0", 1.0)
    assert not shares.contended("other", 1.0)
    assert not shares.contended("hog-0", 10.0)
    shares.all_wait(10.0)
    assert shares.contended("other", 12.0)
    assert not shares.contended("other", 13.5)


@pytest.mark.parametrize(
    ("held", "refused", "allowed"),
    [
        # Nobody waits: as in the queue.
        ({}, [], True),
        ({"own": 7}, [], True),
        ({"own": 8}, [], False),
        ({"other": 16}, [], False),
        # One of its own waits, whoever is to blame: it goes behind.
        ({"own": 1}, ["own"], False),
        # The slot of who waits and may have one is left free, and that of who may not is nobody's.
        ({"other": 15}, ["third"], False),
        ({"other": 14}, ["third"], True),
        ({"other": 14}, ["third", "fourth"], False),
        ({"other": 8}, ["other"], True),
        ({"own": 4, "other": 5}, ["other"], True),
        # It counts as if it had been taken already.
        ({"own": 5, "other": 5}, [], True),
        ({"own": 5, "other": 5}, ["third"], False),
    ],
)
def test_who_was_never_queued_takes_no_slot_that_one_in_the_queue_could_have(
    held: dict[str, int], refused: list[str], allowed: bool
) -> None:
    shares = Shares(EngineLimits(slots=16))
    for _ in range(16):
        shares.take("before")
    assert not [name for name in refused if shares.admits(name, 0.0)]
    for _ in range(16):
        shares.release("before")
    for namespace, count in held.items():
        for _ in range(count):
            shares.take(namespace)
    assert shares.admits_start("own", 1.0) is allowed


def test_a_namespace_starts_at_once_again_when_its_last_queued_run_has_its_slot() -> None:
    shares = filled(1, 4, 0.5)
    shares.release("hog-0")
    assert not shares.admits_start("hog-0", 1.0)
    shares.taken_from_queue("hog-0", 1.0)
    shares.take("hog-0")
    # The next one that waits is refused before long.
    assert not shares.admits("hog-0", 1.05)
    shares.release("hog-0")
    assert not shares.admits_start("hog-0", 1.2)
    shares.taken_from_queue("hog-0", 1.2)
    assert shares.admits_start("hog-0", 1.35)


def test_nobody_starts_beside_a_queue_that_finds_no_slot() -> None:
    shares = Shares(EngineLimits(slots=4))
    shares.all_wait(1.0)
    assert not shares.admits_start("any", 3.9)
    assert shares.admits_start("any", 4.1)


@pytest.mark.parametrize(
    "seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.integration) for seed in range(6, 20))]
)
def test_a_hello_finds_a_slot_at_once_beside_any_hostile_mix(seed: int) -> None:
    """Each hog has a backlog that never ends, and its runs hold their slots for up to 60 s. In the worst order each of
    them takes half of what the one before left, so that log2(slots) of them leave one slot free."""
    random = Random(seed)
    slots = random.choice([4, 8, 16])
    hogs = [f"hog-{number}" for number in range(random.randint(1, int(log2(slots))))]
    shares = Shares(EngineLimits(slots=slots))
    ends: deque[tuple[float, str]] = deque()
    waits: list[float] = []
    hello_since: float | None = None
    held: Counter[str] = Counter()
    for tick in range(4000):
        now = tick * 0.1
        for end in [each for each in ends if each[0] <= now]:
            ends.remove(end)
            shares.release(end[1])
            held[end[1]] -= 1
        if hello_since is None and random.random() < 0.05:
            hello_since = now
        for namespace in random.sample([*hogs, "hello"], len(hogs) + 1):
            if namespace == "hello" and hello_since is None:
                continue
            if shares.free and shares.admits(namespace, now):
                shares.take(namespace)
                held[namespace] += 1
                seconds = 0.05 if namespace == "hello" else random.choice([0.1, 5.0, 60.0])
                ends.append((now + seconds, namespace))
                if namespace == "hello":
                    assert hello_since is not None
                    waits.append(now - hello_since)
                    hello_since = None
    assert len(waits) > 50
    assert max(waits) == 0.0
    assert all(held[name] <= max(1, slots // 2) for name in hogs)
