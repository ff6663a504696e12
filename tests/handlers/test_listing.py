"""How large the pages of a list are."""

import pytest

from workflow_operator.handlers.listing import FIRST_OBJECTS, MOST_OBJECTS, WANTED_BYTES, next_limit


@pytest.mark.parametrize(
    ("objects", "size", "expected"),
    [
        pytest.param(25, 25 * 2048, MOST_OBJECTS, id="small ones"),
        pytest.param(25, 25 * 40_000, WANTED_BYTES // 40_000, id="some that are larger"),
        pytest.param(25, 25 * 1_500_000, FIRST_OBJECTS, id="the largest"),
        pytest.param(0, 300, FIRST_OBJECTS, id="none that could be read"),
        pytest.param(0, 0, FIRST_OBJECTS, id="nothing"),
    ],
)
def test_pages_are_as_large_as_their_objects_allow(objects: int, size: int, expected: int) -> None:
    assert next_limit(objects, size) == expected
