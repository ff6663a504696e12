"""promtool finds nothing against the names, types and units of the metrics."""

import subprocess
from pathlib import Path

import pytest

from workflow_operator import metrics

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("role", metrics.Role)
def test_the_metrics_of_a_role_follow_the_conventions(role: metrics.Role, promtool_program: Path) -> None:
    text, _ = metrics.exposition(metrics.registry(role), "")
    assert b"workflow_operator_" in text
    done = subprocess.run([promtool_program, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_promtool_would_find_something(promtool_program: Path) -> None:
    text = b"# HELP work_milliseconds Work.\n# TYPE work_milliseconds counter\nwork_milliseconds 1\n"
    done = subprocess.run([promtool_program, "check", "metrics"], input=text, capture_output=True, check=False)
    assert done.returncode != 0
