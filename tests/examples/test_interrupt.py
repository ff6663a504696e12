"""Ctrl-C in a terminal, which signals every process that `workflow-operator run` started, not only itself."""

import os
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "steps.yaml"


def test_ctrl_c_cancels_the_run(tmp_path: Path) -> None:
    command = [Path(sysconfig.get_path("scripts")) / "workflow-operator", "run", EXAMPLE]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if "step 1 of" in line:
                os.killpg(process.pid, signal.SIGINT)
                break
        try:
            _, rest = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == 1, rest
    assert "cancelled       interrupted" in rest
