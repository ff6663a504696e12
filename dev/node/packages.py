"""What the node takes from Debian: whether it is there, and installing it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from dev.go_build import Progress

PROGRAMS: Mapping[str, str] = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "nft": "nftables",
    "iptables": "iptables",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "ip": "iproute2",
    "unshare": "util-linux",
}
"""Each program, by name on PATH or by path, and the package that brings it."""

ADMINISTRATORS_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class MissingError(RuntimeError):
    """The machine lacks what the node needs; the text says what."""


def missing() -> list[str]:
    """The packages whose programs are not there, sorted."""
    return sorted(
        package
        for program, package in PROGRAMS.items()
        if not (Path(program).exists() if program.startswith("/") else shutil.which(program, path=ADMINISTRATORS_PATH))
    )


def ensure(progress: Progress) -> None:
    """Install with apt-get what is missing. Raises MissingError where that cannot be done: no root, no apt-get."""
    packages = missing()
    if not packages:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise MissingError(f"these Debian packages are missing: {' '.join(packages)}")
    progress(f"installing with apt-get: {' '.join(packages)}")
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=120", *arguments],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
            raise MissingError(f"`apt-get {' '.join(arguments)}` ended with {done.returncode}:\n{tail}")
    if still := missing():
        raise MissingError(f"apt-get installed them, but their programs are not there: {' '.join(still)}")
