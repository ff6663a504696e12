"""Image archives in the form of `docker save`: one of a static binary, made without any tool, and reading any."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(target: Path, name: str, binary: Path, user: str) -> None:
    """Write to `target` an image whose entry point is `binary`, a static program for this machine, and that is all.

    `name` is the image's, with its tag; `user` is `UID:GID`. The same input gives the same bytes.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _add(tar, binary.name, binary.read_bytes(), 0o755)
    layer_digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": [f"/{binary.name}"], "User": user, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(target, "w") as tar:
        _add(tar, "layer.tar", layer.getvalue())
        _add(tar, "config.json", json.dumps(config).encode())
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))


@dataclass(frozen=True)
class Layer:
    """One layer of an image: where the archive has it, its size in bytes, and the entries of its tar."""

    name: str
    size: int
    entries: tuple[tarfile.TarInfo, ...]


class ImageArchive:
    """The image in the archive at `path`. Its layers must only add: none may delete what one below it has."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with tarfile.open(path) as tar:
            [manifest] = json.load(_member(tar, "manifest.json"))
            self.names: tuple[str, ...] = tuple(manifest["RepoTags"])
            self.config: Mapping[str, Any] = json.load(_member(tar, manifest["Config"]))
            self.layers = tuple(_read_layer(tar, name) for name in manifest["Layers"])

    @property
    def entries(self) -> dict[str, tarfile.TarInfo]:
        """Every file, folder and link of the image, by its absolute path."""
        return {_absolute(entry): entry for layer in self.layers for entry in layer.entries}

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Absolute path and content of every regular file."""
        with tarfile.open(self.path) as tar:
            for layer in self.layers:
                with tarfile.open(fileobj=_member(tar, layer.name)) as inner:
                    for entry in inner:
                        if entry.isreg() and (content := inner.extractfile(entry)):
                            yield _absolute(entry), content.read()


def _read_layer(tar: tarfile.TarFile, name: str) -> Layer:
    with tarfile.open(fileobj=_member(tar, name)) as inner:
        return Layer(name, tar.getmember(name).size, tuple(inner))


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    assert file, f"{name} in {tar.name!s} is no file"
    return file


def _absolute(entry: tarfile.TarInfo) -> str:
    return "/" + entry.name.removeprefix("./").strip("/")
