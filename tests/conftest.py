"""Fixtures for all tests, and the markers that follow from them."""

import gc
import importlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings


def _check_iris(*words: str) -> bool:
    sys.modules.pop("rfc3987_syntax", None)
    found: bool = importlib.import_module("rfc3987_syntax").is_valid_syntax(*words)
    return found


# jsonschema imports a checker of IRIs, which compiles 38 grammars on that. Few tests check an IRI.
sys.modules["rfc3987_syntax"] = SimpleNamespace(is_valid_syntax=_check_iris)  # type: ignore[assignment]

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("unit", settings.get_profile("project"), max_examples=20)

pytest_plugins = ["tests.fixtures.control_plane", "tests.fixtures.nats", "tests.fixtures.workflowruns"]

MARKER_OF_FIXTURE = {"control_plane_binary": "e2e", "nats_server": "integration"}
E2E = Path(__file__).parent / "e2e"
NODE = Path(__file__).parent / "node"
# A module of which every test starts something says so on its top level.
_SLOW_MODULE = re.compile(r"^pytestmark = .*\bmark\.(integration|e2e)\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the tests on a real node, which change this machine, unless they are asked for by their path.

    Where the unit tests run alone, what holds none of them is not even imported.
    """
    if collection_path == NODE:
        named = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
        return None if any(NODE in (path, *path.parents) for path in named) else True
    return True if _unit_only(config) and _holds_no_unit_test(collection_path) else None


def _unit_only(config: pytest.Config) -> bool:
    return "not integration" in config.option.markexpr


def _holds_no_unit_test(path: Path) -> bool:
    return path == E2E or (path.suffix == ".py" and _SLOW_MODULE.search(path.read_text()) is not None)


def pytest_configure(config: pytest.Config) -> None:
    """Where the unit tests run alone, each property is tried with fewer examples: they are run again and again."""
    settings.load_profile("unit" if _unit_only(config) else "project")
    if _unit_only(config):
        # A tenth of the time went into looking for garbage that seconds of tests do not pile up.
        gc.set_threshold(100_000, 50, 1_000)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts servers, so that no such test slips in among the unit tests; run the quickest kind first."""
    for item in items:
        for fixture, marker in MARKER_OF_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
        if E2E in item.path.parents:
            item.add_marker("e2e")
    items.sort(key=_kind)
    # What is loaded and collected stays to the end: no search for garbage has to walk through it.
    gc.freeze()


def _kind(item: pytest.Item) -> int:
    return 2 if item.get_closest_marker("e2e") else 1 if item.get_closest_marker("integration") else 0
