"""What is in the image, and what is not: read from its archive, without running it."""

from __future__ import annotations

import json
import re
import stat
import sys
from email.parser import BytesHeaderParser
from pathlib import Path, PurePosixPath

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from dev import image
from dev.archive import ImageArchive
from dev.base_image import run
from dev.rootfs import SBOM
from dev.sbom import normalised
from dev.tools import cache_folder

ROOT = Path(__file__).parents[2]
PROGRAMS = {"python", "python3", "python3.11", "workflow-operator"}
LARGEST = 220_000_000
"""Bytes of all layers. Not a promise to anybody: growth should be seen."""


@pytest.fixture(scope="module")
def built(images: Path) -> ImageArchive:
    return ImageArchive(images)


@pytest.fixture(scope="module")
def contents(built: ImageArchive) -> dict[str, bytes]:
    return dict(built.files())


def test_it_says_who_it_is_and_runs_as_nobody(built: ImageArchive) -> None:
    config = dict(built.config["config"])
    labels = config.pop("Labels")
    assert config == {
        "User": "65532:65532",
        "ExposedPorts": {"8080/tcp": {}},
        "Env": ["PATH=/opt/workflow-operator/bin"],
        "Entrypoint": ["workflow-operator"],
        "WorkingDir": "/",
        "StopSignal": "SIGTERM",
    }
    assert set(labels) == {
        f"org.opencontainers.image.{name}" for name in ("title", "description", "version", "revision", "licenses")
    }
    assert labels["org.opencontainers.image.version"] == image.version()


def test_its_size_stays_in_bounds(built: ImageArchive, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [layer.size for layer in built.layers]
    with capsys.disabled():
        print(f"\n  the image has {sum(sizes) / 1e6:.0f} MB in layers of {[round(size / 1e6) for size in sizes]} MB")
    assert sum(sizes) < LARGEST


def test_it_holds_python_and_this_program_and_no_shell_compiler_or_package_manager(built: ImageArchive) -> None:
    paths = [PurePosixPath(path) for path in built.entries]
    assert {path.name for path in paths if path.parent.name in ("bin", "sbin")} == PROGRAMS
    assert not {"pip", "ensurepip", "setuptools", "hatchling", "uv"} & {part for path in paths for part in path.parts}
    assert not [path for path in paths if path.suffix in (".a", ".deb", ".whl")]


def test_root_owns_every_file_and_nobody_else_may_write_any_but_in_tmp(built: ImageArchive) -> None:
    entries = built.entries
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(0, 0)}
    assert not [path for path, entry in entries.items() if entry.mode & (stat.S_ISUID | stat.S_ISGID)]
    writable = stat.S_IWGRP | stat.S_IWOTH
    assert [path for path, entry in entries.items() if not entry.issym() and entry.mode & writable] == ["/tmp"]
    assert entries["/tmp"].mode & stat.S_ISVTX
    assert not [path for path in entries if path.startswith("/tmp/")]


def test_nothing_of_the_machine_that_built_it_is_left(contents: dict[str, bytes], built: ImageArchive) -> None:
    tops = {path.split("/")[1] for path in built.entries}
    assert tops <= {"etc", "lib", "lib64", "opt", "tmp", "usr", "var"}
    strangers = {"pip.conf", "hosts", "resolv.conf", "hostname", "ca.crt", "direct_url.json"}
    assert not strangers & {PurePosixPath(path).name for path in built.entries}
    here = [str(path).encode() for path in (ROOT, cache_folder())] + [b"/build/rootfs"]
    assert not [(path, word) for path, content in contents.items() for word in here if word in content]


def test_it_trusts_the_authorities_of_debian_only(contents: dict[str, bytes]) -> None:
    trusted = certificates(contents["/etc/ssl/certs/ca-certificates.crt"])
    assert len(trusted) > 100
    _, own = image.pip_configuration(run([sys.executable, "-m", "pip", "config", "list"]))
    debian = {
        found for file in Path("/usr/share/ca-certificates").rglob("*.crt") for found in certificates(file.read_bytes())
    }
    if own and debian:
        smuggled = (certificates(Path(own).read_bytes()) - debian) & trusted
        assert not len(smuggled)


def certificates(bundle: bytes) -> set[bytes]:
    return {re.sub(rb"\s", b"", body) for body in re.findall(rb"-BEGIN CERTIFICATE-+(.*?)-+END", bundle, re.DOTALL)}


def test_every_module_is_compiled(built: ImageArchive) -> None:
    modules = {PurePosixPath(path) for path in built.entries if path.endswith(".py")}
    compiled = {path.with_name("__pycache__") / f"{path.stem}.cpython-311.pyc" for path in modules}
    assert len(modules) > 1000
    assert {str(path) for path in compiled} <= set(built.entries)


def test_the_sbom_holds_to_the_schema_and_names_every_part(contents: dict[str, bytes]) -> None:
    text = contents[str(SBOM)].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    parts = {part["purl"]: part for part in [bill["metadata"]["component"], *bill["components"]]}

    lock = (ROOT / "requirements-runtime.lock").read_text()
    distributions = [
        BytesHeaderParser().parsebytes(content)
        for path, content in contents.items()
        if path.endswith(".dist-info/METADATA")
    ]
    for metadata in distributions:
        name = normalised(metadata["Name"])
        [digest] = parts[f"pkg:pypi/{name}@{metadata['Version']}"]["hashes"]
        assert name == image.NAME or f"sha256:{digest['content']}" in lock, f"{name} is not as the lock has it"
    assert len(distributions) == len(re.findall(r"^\S+==", lock, re.MULTILINE)) + 1

    kinds = [purl.split("@")[0] for purl in parts]
    assert {"pkg:generic/cpython", "pkg:generic/v8", "pkg:deb/debian/libc6", "pkg:deb/debian/libssl3"} <= set(kinds)
    packages = {PurePosixPath(path).name for path in contents if path.startswith("/var/lib/dpkg/status.d/")}
    assert packages == {kind.removeprefix("pkg:deb/debian/") for kind in kinds if kind.startswith("pkg:deb/")}
