"""The key queue keeps the promises of client-go's."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from workflow_operator.reconcile.objects.queue import KeyQueue, backoff_seconds


class Timer:
    def __init__(self, due: float, callback: Callable[[], object]) -> None:
        self.due, self.callback, self.cancelled = due, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class HandClock:
    """Time moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Any:
        self.timers.append(Timer(self.now + delay, lambda: callback(*args)))
        return self.timers[-1]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if timer.due <= self.now]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            if not timer.cancelled:
                timer.callback()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def queue(clock: HandClock) -> KeyQueue[str]:
    return KeyQueue(clock)


def taken(queue: KeyQueue[str]) -> list[str]:
    """All keys that can be had now."""
    keys = []
    while len(queue):
        coroutine = queue.get()
        with pytest.raises(StopIteration) as stopped:
            coroutine.send(None)
        keys.append(stopped.value.value)
    return keys


def test_a_key_added_twice_is_worked_on_once(queue: KeyQueue[str]) -> None:
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert taken(queue) == ["a", "b"]


def test_a_key_added_while_worked_on_waits_for_the_worker(queue: KeyQueue[str]) -> None:
    queue.add("a")
    taken(queue)
    queue.add("a")
    assert taken(queue) == []
    queue.done("a")
    assert taken(queue) == ["a"]


def test_a_key_not_added_meanwhile_does_not_come_back(queue: KeyQueue[str]) -> None:
    queue.add("a")
    taken(queue)
    queue.done("a")
    assert taken(queue) == []


def test_later_is_later(queue: KeyQueue[str], clock: HandClock) -> None:
    queue.add_after("a", 5)
    clock.advance(4.9)
    assert taken(queue) == []
    clock.advance(0.2)
    assert taken(queue) == ["a"]


@pytest.mark.parametrize(("first", "second"), [(5, 50), (50, 5)])
def test_the_sooner_of_two_times_counts(queue: KeyQueue[str], clock: HandClock, first: float, second: float) -> None:
    queue.add_after("a", first)
    queue.add_after("a", second)
    clock.advance(5)
    assert taken(queue) == ["a"]
    queue.done("a")
    clock.advance(100)
    assert taken(queue) == []


def test_now_makes_later_needless(queue: KeyQueue[str], clock: HandClock) -> None:
    queue.add_after("a", 5)
    queue.add("a")
    assert taken(queue) == ["a"]
    queue.done("a")
    clock.advance(10)
    assert taken(queue) == []


def test_failures_back_off_until_a_success(queue: KeyQueue[str], clock: HandClock) -> None:
    for _ in range(3):
        queue.retry("a")
    clock.advance(0.7)
    assert taken(queue) == [], "the third failure waits 0.8 s"
    clock.advance(0.11)
    assert taken(queue) == ["a"]
    queue.done("a")
    queue.forget_failures("a")
    queue.retry("a")
    clock.advance(0.21)
    assert taken(queue) == ["a"]


def test_a_server_that_asks_for_patience_gets_it(queue: KeyQueue[str], clock: HandClock) -> None:
    queue.add_after("a", 1)
    queue.retry("a", at_least_seconds=7)
    clock.advance(6.9)
    assert taken(queue) == []
    clock.advance(0.2)
    assert taken(queue) == ["a"]


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.2), (2, 0.4), (5, 3.2), (9, 51.2), (10, 60), (5000, 60)])
def test_backoff_doubles_up_to_a_minute(failures: int, seconds: float) -> None:
    assert backoff_seconds(failures) == pytest.approx(seconds)


async def test_get_waits_for_a_key() -> None:
    queue: KeyQueue[str] = KeyQueue(asyncio.get_running_loop())
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add("a")
    assert await waiting == "a"


def test_what_is_due_at_once_can_be_asked_for_again_on_the_loop_of_an_operator() -> None:
    async def ask() -> str:
        queue: KeyQueue[str] = KeyQueue(asyncio.get_running_loop())
        queue.add_after("a", 0.0)
        queue.add_after("a", 5.0)
        async with asyncio.timeout(5):
            return await queue.get()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask()) == "a"
