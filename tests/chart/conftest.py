"""The chart rendered in all its ways, once for all tests."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dev import tools
from tests.chart.rendering import Object, helm_template
from tests.chart.scenarios import SCENARIOS

Render = Callable[[Mapping[str, Any]], list[Object]]


@pytest.fixture(scope="session")
def helm() -> Path:
    return tools.helm()


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    """The objects for some values; raises RenderingFailed."""
    return lambda values: helm_template(helm, values)


@pytest.fixture(scope="session")
def rendered(render: Render) -> dict[str, list[Object]]:
    """The objects of each scenario. Do not change them."""
    return {name: render(values) for name, values in SCENARIOS.items()}


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest, rendered: dict[str, list[Object]]) -> list[Object]:
    return rendered[request.param]
