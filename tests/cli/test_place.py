"""The line under an error, and the mark under its column."""

import pytest

from workflow_operator.cli.place import pointed

SOURCE = "one\n  two()\r\n\tthree\u2028四 five"


@pytest.mark.parametrize(
    ("line", "column", "shown"),
    [
        (1, 1, "    one\n    ^"),
        (1, 4, "    one\n       ^"),
        (2, 3, "      two()\n      ^"),
        (2, None, "      two()"),
        (3, 2, "    \tthree\n    \t^"),
        (4, 3, "    四 five\n       ^"),
        (1, 99, "    one\n       ^"),
        (5, 1, ""),
        (0, 1, ""),
    ],
)
def test_a_mark_stands_under_the_column(line: int, column: int | None, shown: str) -> None:
    assert pointed(SOURCE, line, column) == shown


def test_a_character_of_two_units_counts_as_v8_counts_it() -> None:
    assert pointed("'😀' x", 1, 6) == "    '😀' x\n         ^".replace("         ^", "    " + " " * 5 + "^")


def test_of_a_long_line_that_is_shown_what_is_around_the_column() -> None:
    source = "a" * 5_000 + "HERE" + "b" * 5_000
    line, mark = pointed(source, 1, 5_001).splitlines()
    assert line[mark.index("^") :].startswith("HEREb")
    assert line.startswith("    …aaa")
    assert line.endswith("b…")
    assert len(line) < 120


def test_a_long_line_without_a_column_is_cut() -> None:
    assert len(pointed("a" * 5_000, 1, None)) < 120
