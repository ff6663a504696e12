"""Every example, run as its first line says: in local mode, by the command."""

import json
import os
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


class Expected(NamedTuple):
    output: Any = None
    exit_code: int = 0
    log: str = ""
    args: tuple[str, ...] = ()


RUNS = {
    "hello.yaml": Expected({"greeting": "Hello, world!"}, log="info: greeting world"),
    "order.yaml": Expected(
        {"number": 1042, "total": 176, "chargedAt": "TIME", "state": "shipped"}, log="info: charged 176"
    ),
    # Six seconds are enough to park.
    "sleep.yaml": Expected({"slept": 6}, log="waiting", args=("--input", '{"seconds": 6}')),
    "from-configmap.yaml": Expected({"mean": 6}),
    "steps.yaml": Expected({"steps": 2}, log="info: step 2 of 2", args=("--input", '{"steps": 2}')),
    "failing.yaml": Expected(None, 1, log="failed          RangeError: wanted 3, in stock are 1 (line 7, column 11)"),
    "counter.js": Expected(3, log="info: at 3", args=("--input", '{"to": 3}')),
}


@pytest.mark.parametrize("file", RUNS)
def test_example_in_local_mode(file: str, tmp_path: Path) -> None:
    expected = RUNS[file]
    command = Path(sysconfig.get_path("scripts")) / "workflow-operator"
    done = subprocess.run(
        [command, "run", EXAMPLES / file, *expected.args],
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == expected.exit_code, done.stderr
    assert expected.log in done.stderr
    shown = re.sub(INSTANT, "TIME", done.stdout)
    assert (json.loads(shown) if shown else None) == expected.output


def test_no_example_is_left_out() -> None:
    # What is in a folder needs more than the command; the demo runs it.
    assert {file.name for file in EXAMPLES.iterdir() if file.is_file()} == RUNS.keys()
