"""What every role runs on."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

PROBE = """
import asyncio
from workflow_operator.cli.serve import serve

async def role(settings, names):
    print(type(asyncio.get_running_loop()).__module__)

serve("operator", role)
"""


def test_a_role_runs_on_uvloop() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "uvloop\n"
