"""What is kept of the JSON of objects is bounded, whatever their number and size."""

import pytest

from workflow_operator.reconcile.objects.texts import MAX_TEXT_BYTES, Texts


def view(size: int) -> memoryview:
    return memoryview(b"x" * size)


def test_a_text_is_there_once() -> None:
    texts = Texts()
    texts.put("a", view(3))
    assert [texts.take("a"), texts.take("a"), texts.take("b")] == [b"xxx", None, None]


@pytest.mark.parametrize(("size", "kept"), [(MAX_TEXT_BYTES, True), (MAX_TEXT_BYTES + 1, False)])
def test_a_large_text_is_not_kept(size: int, kept: bool) -> None:
    texts = Texts()
    texts.put("a", view(size))
    assert (texts.take("a") is not None) is kept


def test_the_oldest_go_first() -> None:
    texts = Texts(max_bytes=5_000)
    for name in "abcdef":
        texts.put(name, view(1_000))
    assert [name for name in "abcdef" if texts.take(name)] == ["d", "e", "f"]


def test_room_that_is_left_is_there_again() -> None:
    texts = Texts(max_bytes=5_000)
    for _ in range(100):
        texts.put("a", view(2_000))
        texts.put("b", view(2_000))
        assert texts.take("a") is not None
        assert texts.take("b") is not None


def test_many_small_ones_are_bounded_too() -> None:
    texts = Texts(max_bytes=100_000)
    for number in range(2_000):
        texts.put(str(number), view(0))
    assert sum(texts.take(str(number)) is not None for number in range(2_000)) * 100 < 100_000
