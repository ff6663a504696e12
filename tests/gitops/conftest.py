"""The judges of GitOps tools, and an installation."""

from __future__ import annotations

import pytest

from dev.gitops_health import GitOpsHealth, built
from tests.e2e.conftest import stack, world

__all__ = ["gitops_health", "stack", "world"]


@pytest.fixture(scope="session")
def gitops_health(request: pytest.FixtureRequest) -> GitOpsHealth:
    """Compiled on first use, which takes up to a minute: so it says so around pytest's capture."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def progress(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, flush=True)

    return GitOpsHealth(built(progress))
