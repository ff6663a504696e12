"""What a projector remembers is bounded in bytes, whatever the statuses are."""

from __future__ import annotations

import pytest

from tests.fakes.records import new_key, status
from workflow_operator.projector.cache import StatusCache, weight


def test_the_first_ones_go_when_the_bytes_are_used_up() -> None:
    cache = StatusCache(max_bytes=1_000_000)
    keys = [new_key() for _ in range(100)]
    for key in keys:
        cache.put(status(key, memory="x" * 10_000))
        assert cache.bytes <= 1_000_000
    kept = [key for key in keys if cache.get(key) is not None]
    assert 70 <= len(kept) < 100
    assert kept == keys[-len(kept) :]


def test_one_that_would_push_out_many_is_not_held_and_replaces_what_is_over() -> None:
    cache = StatusCache(max_bytes=1_000_000)
    small = status(new_key())
    cache.put(small)
    cache.put(small.replace(script="x" * 20_000))
    assert cache.get(small.key) is None
    assert cache.bytes == 0


def test_what_is_dropped_gives_its_bytes_back() -> None:
    cache = StatusCache()
    one, two = status(new_key(), memory=[1]), status(new_key())
    for each in (one, two, one):
        cache.put(each)
    assert cache.bytes == weight(one) + weight(two)
    cache.drop(one.key)
    cache.drop(one.key)
    assert (cache.get(one.key), cache.get(two.key), cache.bytes) == (None, two, weight(two))
    cache.clear()
    assert (cache.get(two.key), cache.bytes) == (None, 0)


LARGE = "x" * 9000


@pytest.mark.parametrize("field", ["input", "memory", "output", "script", "metadata"])
def test_whatever_can_be_large_is_weighed(field: str) -> None:
    value = {"label": LARGE} if field == "metadata" else LARGE
    assert weight(status(new_key(), **{field: value})) > weight(status(new_key())) + 8900
