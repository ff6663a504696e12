"""What the Dockerfile must keep, read from its text; the image itself is looked at in tests/node."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dev import image

ROOT = Path(__file__).parents[2]
TEXT = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
LINES = [line for line in TEXT.splitlines() if line and not line.startswith("#")]


def instructions(name: str) -> list[str]:
    return [line.removeprefix(f"{name} ") for line in LINES if line.startswith(f"{name} ")]


@pytest.mark.integration
def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_installation_is_locked_by_hash_or_takes_what_is_there() -> None:
    commands = [
        part for line in instructions("RUN") for part in line.split("&&") if re.search(r"\bpip\b.*--quiet", part)
    ]
    assert len(commands) == 4
    for command in commands:
        locked = "--require-hashes" in command and "--only-binary=:all:" in command
        assert locked or ("--no-index" in command and "--no-deps" in command), command


def test_the_base_is_an_argument_without_a_registry() -> None:
    [default] = [value for value in instructions("ARG") if value.startswith("BASE_IMAGE=")]
    host, slash, _ = default.removeprefix("BASE_IMAGE=").partition("/")
    assert not slash or "." not in host
    assert instructions("FROM") == [
        "${BASE_IMAGE} AS dependencies",
        "${BASE_IMAGE} AS wheel",
        "dependencies AS files",
        "scratch",
    ]


def test_the_version_is_the_project_s() -> None:
    assert f"VERSION={image.version()}" in instructions("ARG")


def test_the_context_holds_what_is_copied_and_no_secret_or_cache() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for line in instructions("COPY") if not line.startswith("--from") for source in line.split()[:-1]}
    assert copied == allowed - {"Dockerfile"}
