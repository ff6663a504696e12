"""A module that is loaded when it is used."""

import importlib
import sys
from pathlib import Path

import pytest

from workflow_operator.lazy import put_off

NAME = "put_off_for_a_test"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "__init__.py").write_text("VALUE = 5")
    (tmp_path / NAME / "part.py").write_text("VALUE = 6")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith(NAME)]:
        monkeypatch.delitem(sys.modules, name)


def really_loaded() -> bool:
    return "VALUE" in vars(sys.modules[NAME])


def test_it_is_loaded_once_something_of_it_is_used() -> None:
    put_off(NAME)
    first, second = importlib.import_module(NAME), importlib.import_module(NAME)
    assert not really_loaded()
    assert (first.VALUE, second.VALUE) == (5, 5)
    assert really_loaded()


def test_a_part_of_it_loads_it() -> None:
    put_off(NAME)
    assert importlib.import_module(f"{NAME}.part").VALUE == 6
    assert really_loaded()


def test_what_is_loaded_stays_loaded() -> None:
    loaded = importlib.import_module(NAME)
    put_off(NAME)
    assert sys.modules[NAME] is loaded


def test_what_it_does_not_have_is_told() -> None:
    put_off(NAME)
    with pytest.raises(AttributeError):
        _ = importlib.import_module(NAME).NOTHING
