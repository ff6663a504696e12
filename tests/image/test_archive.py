"""Archives in the form of `docker save`."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from dev import archive

NAME, USER = "tool:1", "65532:65532"


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "tool"
    path.write_bytes(b"\x7fELF...")
    return path


def test_an_image_of_one_program(binary: Path, tmp_path: Path) -> None:
    archive.write(tmp_path / "image.tar", NAME, binary, USER)

    image = archive.ImageArchive(tmp_path / "image.tar")
    assert image.names == (NAME,)
    assert image.config["config"] == {"Entrypoint": ["/tool"], "User": USER, "WorkingDir": "/"}
    assert dict(image.files()) == {"/tool": b"\x7fELF..."}
    [entry] = image.entries.values()
    assert (entry.mode, entry.uid, entry.gid) == (0o755, 0, 0)


def test_the_layer_is_named_by_its_digest(binary: Path, tmp_path: Path) -> None:
    archive.write(tmp_path / "image.tar", NAME, binary, USER)
    image = archive.ImageArchive(tmp_path / "image.tar")
    with tarfile.open(image.path) as tar:
        layer = tar.extractfile(image.layers[0].name)
        assert layer
        digest = hashlib.sha256(layer.read()).hexdigest()
    assert image.config["rootfs"]["diff_ids"] == [f"sha256:{digest}"]


def test_the_same_program_gives_the_same_bytes(binary: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        archive.write(tmp_path / name, NAME, binary, USER)
        binary.touch()
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_layers_are_read_as_one_tree_of_absolute_paths(tmp_path: Path) -> None:
    layers = [{"./etc/": None, "./etc/passwd": b"old"}, {"etc/passwd": b"new", "opt/tool": b"tool"}]
    with tarfile.open(tmp_path / "image.tar", "w") as tar:
        for number, files in enumerate(layers):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w:gz") as layer:
                for name, content in files.items():
                    add(layer, name, content)
            add(tar, f"{number}.tar", inner.getvalue())
        manifest = [{"Config": "config", "RepoTags": [NAME], "Layers": ["0.tar", "1.tar"]}]
        add(tar, "config", b"{}")
        add(tar, "manifest.json", json.dumps(manifest).encode())

    image = archive.ImageArchive(tmp_path / "image.tar")
    assert set(image.entries) == {"/etc", "/etc/passwd", "/opt/tool"}
    assert dict(image.files()) == {"/etc/passwd": b"new", "/opt/tool": b"tool"}


def add(tar: tarfile.TarFile, name: str, content: bytes | None) -> None:
    entry = tarfile.TarInfo(name)
    if content is None:
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    else:
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
