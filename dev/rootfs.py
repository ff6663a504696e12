"""Lays out the files of the image; runs in the Dockerfile's build stage, as root, with the standard library only.

    python3 -m dev.rootfs TARGET

TARGET/python gets the interpreter, its library, the shared libraries that anything in the image loads, users and CAs;
TARGET/dependencies what requirements-runtime.lock names; TARGET/application this project and the image's SBOM.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

from dev import sbom

BUILD = Path("/build")
VENV = Path("/opt/workflow-operator")
APPLICATION = "workflow_operator"
SBOM = Path("/usr/share/sbom/workflow-operator.cdx.json")
USER = 65532

PYTHON = (3, 11)
"""From 3.12 on the JSON parser has a limit of its own, below the 10,000 levels that the API server lets through."""

# What no server needs. Some of it brings shared libraries along, some is there to build or install other programs.
STDLIB_LEFT_OUT = re.compile(
    r"__pycache__|site-packages|dist-packages|config-.*|.*\.a|test|idlelib|tkinter|turtledemo|turtle\.py|ensurepip"
    r"|lib2to3|distutils|pydoc_data|sitecustomize\.py|EXTERNALLY-MANAGED"
    r"|(_tkinter|_curses\w*|readline|nis|_g?dbm|_sqlite3|ossaudiodev|_test\w+|_ctypes_test|_xxtestfuzz|xx\w+)\..*\.so"
)
# The generated half of the Kubernetes client, nearly all of its size: `cluster` uses its transport, kopf three classes.
GENERATED = re.compile(
    r"/kubernetes/(aio/)?client/(api|models)/(?!(__init__|v1_(object_meta|owner_reference|managed_fields_entry))\.py$)"
)
SCRIPTS = ("python", "python3", "python3.11", "workflow-operator")
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
SYSTEM_FILES = (Path("/etc/os-release"), CA_BUNDLE, Path("/usr/lib/ssl/openssl.cnf"))

_LIBRARY = re.compile(r"^\t(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)


def main(target: Path) -> None:
    if sys.version_info[:2] != PYTHON:
        sys.exit(f"the base image has Python {platform.python_version()}; this needs {'.'.join(map(str, PYTHON))}")
    trees = [target / name for name in ("python", "dependencies", "application")]
    python, dependencies, application = trees
    stdlib, [site] = Path(sysconfig.get_path("stdlib")), VENV.glob("lib/python*/site-packages")

    interpreter = Path(os.path.realpath(sys.executable))
    place(interpreter, python)
    # What the virtual environment's own link points to.
    place((VENV / "bin/python3").readlink(), python)
    copied_stdlib = copy(stdlib, python, kept_of_stdlib)
    copied = [
        *copied_stdlib,
        *copy(VENV, dependencies, lambda path: kept_of_venv(path) and not of_application(path)),
        *copy(VENV, application, lambda path: kept_of_venv(path) and of_application(path)),
    ]
    libraries = shared_libraries([interpreter, *copied])
    for path in libraries:
        place(path, python)
    system(python, libraries)
    packages = debian_packages([interpreter, *copied_stdlib, *libraries])
    for name, stanza in packages.items():
        # Where image scanners look for the packages of an image without a package manager.
        write(python / "var/lib/dpkg/status.d" / name, stanza)
    for tree in trees:
        compile_all(tree)
    bill = sbom.text(site, [BUILD / "dependencies.json", BUILD / "application.json"], packages, v8_version())
    write(application / SBOM.relative_to("/"), bill)
    for tree in trees:
        for path in [tree, *tree.rglob("*")]:
            os.utime(path, (0, 0), follow_symlinks=False)


def kept_of_stdlib(path: Path) -> bool:
    """Whether the image holds this file, given relative to the standard library's folder."""
    return not any(STDLIB_LEFT_OUT.fullmatch(part) for part in path.parts)


def kept_of_venv(path: Path) -> bool:
    """Whether the image holds this file, given relative to the virtual environment's folder."""
    if path.parts[0] == "bin":
        return path.name in SCRIPTS
    return path.parts[0] != "include" and "__pycache__" not in path.parts and not GENERATED.search(f"/{path}")


def of_application(path: Path) -> bool:
    """Whether the file, given relative to the virtual environment's folder, is this project's own."""
    return path == Path("bin/workflow-operator") or any(part.startswith(APPLICATION) for part in path.parts[3:4])


def copy(source: Path, root: Path, kept: Callable[[Path], bool]) -> list[Path]:
    """Copy the files and links below `source` to the same places below `root`; returns what it copied."""
    paths = [path for path in sorted(source.rglob("*")) if path.is_symlink() or path.is_file()]
    paths = [path for path in paths if kept(path.relative_to(source))]
    for path in paths:
        _copy(path, root / path.relative_to("/"))
    return paths


def place(path: Path, root: Path) -> None:
    """Copy the file at `path`, and where that is a link, the link and what it leads to."""
    folder = path.parent.resolve()
    _copy(path, root / folder.relative_to("/") / path.name)
    if path.is_symlink():
        place(folder / path.readlink(), root)


def _copy(path: Path, target: Path) -> None:
    if not os.path.lexists(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)


def write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def shared_libraries(files: Iterable[Path]) -> list[Path]:
    """The system's libraries that the programs and libraries among `files` load."""
    found: set[Path] = set()
    for file in files:
        if is_elf(file):
            done = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False)
            if "not found" in done.stdout:
                sys.exit(f"{file} needs a library that the base image does not have:\n{done.stdout}")
            found |= set(map(Path, _LIBRARY.findall(done.stdout)))
    return sorted(path for path in found if not path.is_relative_to(VENV))


def is_elf(path: Path) -> bool:
    if path.is_symlink():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def system(root: Path, libraries: Iterable[Path]) -> None:
    """What is neither Python nor a library: users, certificate authorities, links, an empty /tmp."""
    for path in SYSTEM_FILES:
        place(path, root)
    # Where OpenSSL looks without being told.
    (root / "usr/lib/ssl/cert.pem").symlink_to(CA_BUNDLE)
    write(
        root / "etc/passwd",
        f"root:x:0:0:root:/nonexistent:/nologin\nnonroot:x:{USER}:{USER}:nonroot:/nonexistent:/nologin\n",
    )
    write(root / "etc/group", f"root:x:0:\nnonroot:x:{USER}:\n")
    write(root / "etc/nsswitch.conf", "hosts: files dns\n")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    for path in (Path("/lib"), Path("/lib64")):
        if path.is_symlink():
            (root / path.name).symlink_to(path.readlink())
    folders = sorted({str(path.parent.resolve()) for path in libraries})
    subprocess.run(["ldconfig", "-X", "-r", str(root), *folders], check=True)
    shutil.rmtree(root / "var/cache", ignore_errors=True)


def debian_packages(files: Iterable[Path]) -> dict[str, str]:
    """The packages that `files` are from, by name, each with its entry in dpkg's data base. None without dpkg."""
    if not shutil.which("dpkg-query"):
        return {}
    # dpkg knows some files by their place before /lib became a link.
    places = {str(place) for file in files for place in (file, file.resolve())}
    places |= {place.removeprefix("/usr") for place in places}
    found = subprocess.run(["dpkg-query", "-S", *sorted(places)], capture_output=True, text=True, check=False).stdout
    names = {name.split(":")[0] for line in found.splitlines() for name in line.split(": ")[0].split(", ")}
    # The bundle is made when it is installed, so dpkg does not know whose it is; scanners read the system's name.
    names |= {"base-files", "ca-certificates"}
    return {name: subprocess.check_output(["dpkg-query", "-s", name], text=True) for name in sorted(names)}


def v8_version() -> str:
    program = "import py_mini_racer; print(py_mini_racer.MiniRacer().v8_version)"
    return subprocess.check_output([str(VENV / "bin/python3"), "-c", program], text=True).strip()


def compile_all(tree: Path) -> None:
    # By hash: the same bytes in every build, and no file's time is asked for at a start.
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(tree)]
    subprocess.run([*command, "-p", "/", str(tree)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
