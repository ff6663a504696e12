"""V8's age is watched."""

from __future__ import annotations

from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest

from dev.engine_age import ENGINE, Engine, problem

RACER = Engine("1", "14.4", date(2026, 1, 1), date(2026, 3, 1), "there is no newer one")


@pytest.mark.parametrize(
    ("installed", "today", "words"),
    [
        ("1", date(2026, 3, 2), None),
        ("1", date(2026, 8, 30), None),
        ("1", date(2026, 8, 31), "V8 14.4 (mini-racer 1) is of 2026-01-01, and was last looked at on 2026-03-01"),
        ("2", date(2026, 3, 2), "mini-racer 2 is installed"),
    ],
)
def test_an_engine_that_nobody_has_looked_at_for_long_is_a_problem(
    installed: str, today: date, words: str | None
) -> None:
    found = problem(RACER, installed, today)
    assert found is None if words is None else words in (found or "")


def test_the_engine_that_is_told_of_is_the_installed_one() -> None:
    assert problem(ENGINE, version("mini-racer"), ENGINE.looked_at) is None
    assert ENGINE.v8 in Path("SECURITY.md").read_text(encoding="utf-8")
