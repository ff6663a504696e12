"""A namespace whose names take long keeps nobody else from finding his."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.polling import eventually
from workflow_operator.http.names import AT_ONCE, Names


class Slow:
    """getaddrinfo, where names that begin with ``slow`` are found when they are released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *_: Any) -> list[Any]:
        self.asked.append(host)
        if host.startswith("slow"):
            self.release.wait(30)
        if host.startswith("none"):
            raise OSError("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port))]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    made = Slow()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.release.set()


async def test_who_waits_for_slow_names_waits_alone(slow: Slow) -> None:
    names = Names()
    stuck = [asyncio.create_task(names.of("a").resolve(f"slow-{number}")) for number in range(10)]
    await eventually(lambda: len(slow.asked) == AT_ONCE)
    assert [each["host"] for each in await names.of("b").resolve("quick", 80)] == ["10.0.0.1"]
    for each in stuck:
        each.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    late = asyncio.create_task(names.of("a").resolve("quick"))
    assert [each["host"] for each in await names.of("").resolve("quick")] == ["10.0.0.1"]
    assert not late.done(), "threads are busy for who has gone, too"
    assert slow.asked.count("quick") == 2
    slow.release.set()
    assert [each["host"] for each in await late] == ["10.0.0.1"]
    names.close()


async def test_a_name_that_is_not_found_gives_its_place_back(slow: Slow) -> None:
    names = Names()
    for _ in range(3 * AT_ONCE):
        with pytest.raises(OSError, match="no such name"):
            await names.of("a").resolve("none")
    assert await names.of("a").resolve("quick")
    names.close()
