"""`make demo`, started without a terminal: it shows the examples and ends by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.e2e
@pytest.mark.usefixtures("control_plane_binary")
def test_the_demo_ends_well_and_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    temporary = tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    theirs = tmp_path / "kubeconfig"
    theirs.write_text("not a kubeconfig")
    done = subprocess.run(
        [sys.executable, "-m", "dev.demo"],
        cwd=PROJECT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "XDG_CACHE_HOME": cache,
            "KUBECONFIG": str(theirs),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "was ended with kill -9" in done.stdout
    assert "WaitingForEvent" in done.stdout
    assert "attempt 1: Error: shop: 503" in done.stdout
    assert "Delivered" in done.stdout
    assert "the shop was asked 2 times, for one order: " in done.stdout
    assert list(temporary.iterdir()) == []
    assert list(home.iterdir()) == []
    assert theirs.read_text() == "not a kubeconfig"
