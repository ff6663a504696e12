"""What is of the engine that makes a context for each run alone: measuring, and what an isolate keeps."""

from __future__ import annotations

import pytest
from py_mini_racer import _dll

from tests.javascript.engine import Harness
from workflow_operator.javascript.worker.vm import realms
from workflow_operator.javascript.worker.vm.bridge import OutOfMemory, Realm

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


@pytest.fixture
def engine() -> Harness:
    return Harness("realm")


def used(realm: Realm) -> int:
    assert isinstance(realm, realms.ContextRealm)
    return realm._context.used_heap()


@pytest.mark.parametrize("text", ["", "abc", "é", "€", "😀", "a\u0000b"])
def test_a_text_is_measured_in_bytes(engine: Harness, text: str) -> None:
    assert engine.text(f"measure({text!r}.repeat(300))") == str(300 * len(text.encode()))


def test_used_heap_grows_with_what_is_held(engine: Harness) -> None:
    def action(realm: Realm) -> int:
        before = used(realm)
        realm.run("globalThis.keep = new Array(1000000).fill(0); void 0")
        return used(realm) - before

    assert 3.9e6 < engine.one(action) < 10e6


def test_an_isolate_is_given_up_after_a_number_of_runs(engine: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realms, "MOST_RUNS", 3)
    isolates = [id(each) for each in engine.each(*[lambda realm: realms._live[-1]] * 7)]
    assert [isolates.index(each) for each in isolates] == [0, 0, 0, 3, 3, 3, 6]


def test_a_full_heap_ends_the_use_of_its_isolate(engine: Harness) -> None:
    held = []

    def fill(realm: Realm) -> None:
        held.append(realms._live[-1])
        realm.limit_heap(16 * MIB)
        realm.run("const a = []; for (;;) a.push([a.length])")

    first, second = engine.each(fill, lambda realm: realms._live[-1])
    assert isinstance(first, OutOfMemory)
    assert second is not held[0]


def test_no_realm_holds_the_ones_before_it(engine: Harness) -> None:
    values = _dll.init_mini_racer(ignore_duplicate_init=True).mr_value_count

    def look(realm: Realm) -> tuple[int, int]:
        realm.run("globalThis.keep = new Array(100000).fill(0); void 0")
        realm.control("{}")
        return used(realm), values(realms._live[-1]._context)

    seen = engine.each(*[look] * 100, collects=True)
    # Collected after each: less than what two of them hold, of a hundred.
    assert seen[-1][0] < seen[0][0] + MIB
    assert seen[-1][1] == seen[0][1]


def test_what_a_run_held_is_not_counted_against_the_next(engine: Harness) -> None:
    def hold(realm: Realm) -> str:
        realm.limit_heap(24 * MIB)
        return realm.text("keep = []; for (let i = 0; i < 18; i++) keep.push(new Array(250000).fill(i)); 'held'")

    assert engine.each(*[hold] * 10) == ["held"] * 10


def test_the_limit_of_a_run_ends_with_it(engine: Harness) -> None:
    def work(realm: Realm) -> str:
        return realm.text("let last; for (let i = 0; i < 200; i++) last = new Array(100000).fill(i); 'alive'")

    # What makes the next realm has no limit, and would meet that of the one before.
    assert engine.each(lambda realm: realm.limit_heap(1), work, collects=True) == [None, "alive"]
