"""promtool, for the tests that ask Prometheus itself."""

from pathlib import Path

import pytest

from dev.promtool import PROMTOOL
from tests.fixtures.built import built


@pytest.fixture(scope="session")
def promtool_program(request: pytest.FixtureRequest) -> Path:
    return built(PROMTOOL, request)
