"""The cgroups below which a node's pods run: the one thing that no namespace of its own hides from the machine."""

import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
REMOVAL_DEADLINE = 10.0
"""Seconds; processes that have just been killed hold theirs for a moment."""


def make(name: str) -> None:
    """Make `name` at the top of each hierarchy of cgroups."""
    for hierarchy in _hierarchies():
        folder = hierarchy / name
        folder.mkdir(exist_ok=True)
        # Of version 1, where a new one has no processors and no memory.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if hierarchy != ROOT and (folder / file).exists():
                (folder / file).write_text((hierarchy / file).read_text())


def remove(name: str) -> None:
    """Remove `name` and what is below it everywhere. Raises OSError when processes are still in it after 10 s."""
    end = time.monotonic() + REMOVAL_DEADLINE
    for hierarchy in _hierarchies():
        folder = hierarchy / name
        while folder.exists():
            try:
                for each in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
                    each.rmdir()
                folder.rmdir()
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)


def _hierarchies() -> list[Path]:
    """All of them with version 1, the only one with version 2."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    # Links name one hierarchy twice: cpu and cpuacct.
    return sorted({path.resolve() for path in ROOT.iterdir() if (path / "cgroup.procs").exists()})
