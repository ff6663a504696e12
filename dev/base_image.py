"""A base image for the Dockerfile where no container registry can be asked: Python of Debian, from its packages.

The image gets a name that no registry has, so that it never stands in for another one in buildah's storage.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dev.go_build import BuildError, Progress
from dev.tools import build_once, cache_folder, cache_key

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-pip")
_EXCLUDED = ("doc", "info", "locale", "man")
_OPTIONS = (
    "--quiet",
    "--variant=minbase",
    f"--include={','.join(PACKAGES)}",
    *(f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in _EXCLUDED),
    '--aptopt=APT::Install-Recommends "false"',
    SUITE,
)
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def provide(buildah: str, progress: Progress) -> str:
    """The name of the image in buildah's storage; made when it is not there. Raises BuildError."""
    key = cache_key([" ".join(_OPTIONS).encode()])
    name = f"localhost/workflow-operator-base:{key}"
    if subprocess.run([buildah, "inspect", "--type", "image", name], capture_output=True, check=False).returncode:
        files = build_once(cache_folder() / f"base-{key}.tar", lambda target: _debian(target, progress), progress)
        container = run([buildah, "from", "scratch"]).strip()
        try:
            run([buildah, "add", "--quiet", container, str(files), "/"])
            run([buildah, "config", "--env", _PATH, container])
            run([buildah, "commit", "--quiet", container, name])
        finally:
            run([buildah, "rm", container])
    return name


def _debian(target: Path, progress: Progress) -> None:
    mmdebstrap = shutil.which("mmdebstrap")
    if not mmdebstrap:
        raise BuildError(
            "there is no base image: install mmdebstrap, which makes one from Debian's packages, "
            "or name one that buildah can pull (--base-image python:3.11-slim-bookworm)"
        )
    progress(f"making a base image from the packages of Debian {SUITE}, once for this machine: about a minute")
    run([mmdebstrap, *_OPTIONS, str(target)])


def run(command: Sequence[str], folder: Path | None = None) -> str:
    """Standard output of the command. Raises BuildError with the end of what it said when it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join(f"{done.stdout}{done.stderr}".splitlines()[-20:])
        raise BuildError(f"`{' '.join(command[:2])}` ended with {done.returncode}:\n{said}")
    return done.stdout
