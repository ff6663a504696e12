"""promtool, for the tests that ask Prometheus itself."""

from pathlib import Path

import pytest

from dev.promtool import promtool


@pytest.fixture(scope="session")
def promtool_program(request: pytest.FixtureRequest) -> Path:
    """Compiled on first use, which takes minutes: so its progress goes around pytest's capture."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def progress(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, flush=True)

    return promtool(progress)
