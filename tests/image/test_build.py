"""Building with what is there: docker, buildah, or neither. The programs are stand-ins that write down their calls."""

import os
import stat
from pathlib import Path

import pytest

from dev import archive, base_image, image
from dev.go_build import BuildError

BASE = "registry.example/python:3.11@sha256:0"


class Programs:
    """A folder for PATH, with programs that log their arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        folder.mkdir()

    def add(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.log}"\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    programs = Programs(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(programs.folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return programs


def silent(text: str) -> None:
    """Nobody watches."""


SAVE = 'for each; do case "$each" in --output=*) echo saved >"${each#--output=}";; esac; done'
PUSH = 'case "$1 $3" in "push "*) file=${4#docker-archive:}; echo pushed >"${file%%:*}";; esac'


@pytest.mark.integration
def test_docker_where_its_daemon_runs(programs: Programs, tmp_path: Path) -> None:
    programs.add("docker", SAVE)
    programs.add("buildah", PUSH)
    made = image.build("tool:1", tmp_path / "image.tar", progress=silent)
    assert (made, made.read_text()) == (tmp_path / "image.tar", "saved\n")
    info, build, save = programs.calls()
    assert info == "docker info"
    assert build.startswith("docker build --tag=tool:1 --build-arg=VERSION=")
    assert "BASE_IMAGE" not in build
    assert save.endswith(" tool:1")


@pytest.mark.integration
def test_buildah_where_docker_has_no_daemon(programs: Programs, tmp_path: Path) -> None:
    programs.add("docker", "exit 1")
    programs.add("buildah", PUSH)
    made = image.build("tool:1", tmp_path / "image.tar", base=BASE, progress=silent)
    assert made.read_text() == "pushed\n"
    _, build, push = programs.calls()
    assert build.startswith("buildah bud --layers --network=host ")
    assert f"--build-arg=BASE_IMAGE={BASE}" in build
    assert push.startswith("buildah push --quiet tool:1 docker-archive:")


@pytest.mark.integration
def test_buildah_gets_the_base_image_that_was_made_before(programs: Programs, tmp_path: Path) -> None:
    programs.add("buildah", PUSH)
    image.build("tool:1", tmp_path / "image.tar", progress=silent)
    inspect, build, _ = programs.calls()
    assert inspect.startswith("buildah inspect --type image localhost/workflow-operator-base:")
    assert f"--build-arg=BASE_IMAGE={inspect.split()[-1]}" in build


@pytest.mark.integration
def test_a_base_image_is_made_from_packages_once(programs: Programs) -> None:
    programs.add("buildah", 'case "$1" in inspect) exit 1;; from) echo container-1;; esac')
    programs.add("mmdebstrap", 'for each; do target=$each; done; echo files >"$target"')
    names = {base_image.provide("buildah", silent) for _ in range(2)}
    assert len(names) == 1
    made = [call for call in programs.calls() if call.startswith("mmdebstrap")]
    assert len(made) == 1
    assert "--include=ca-certificates,python3,python3-pip" in made[0]
    assert f"buildah commit --quiet container-1 {names.pop()}" in programs.calls()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("there", "advice"),
    [({}, "docker with its daemon running, or buildah"), ({"buildah": "exit 1"}, "install mmdebstrap.*or name one")],
)
def test_what_is_missing_is_named(programs: Programs, there: dict[str, str], advice: str) -> None:
    for name, script in there.items():
        programs.add(name, script)
    with pytest.raises(BuildError, match=advice):
        image.build(progress=silent)


@pytest.mark.integration
def test_a_failed_build_says_what_was_said_last_and_leaves_no_archive(programs: Programs, tmp_path: Path) -> None:
    programs.add("docker", 'case "$1" in build) echo "no such base" >&2; exit 3;; esac')
    with pytest.raises(BuildError, match=r"(?s)docker build.*ended with 3.*no such base"):
        image.build("tool:1", tmp_path / "image.tar", progress=silent)
    assert not list(tmp_path.glob("*.tar"))


@pytest.mark.parametrize(
    ("listing", "text", "certificates"),
    [
        ("", "", ""),
        ("global.disable-pip-version-check='1'\n:env:.find-links='/opt/wheels'\n", "", ""),
        (
            "global.index-url='https://user:p%40ss@index.example/simple'\n",
            "[global]\nindex-url = https://user:p%40ss@index.example/simple\n\n",
            "",
        ),
        ("global.cert='/etc/ca.pem'\n", "[global]\ncert = /run/secrets/ca.crt\n\n", "/etc/ca.pem"),
        (
            ":env:.index-url='https://b.example'\nglobal.index-url='https://a.example'\nuser.proxy='http://p'\n",
            "[global]\nindex-url = https://b.example\nproxy = http://p\n\n",
            "",
        ),
    ],
)
def test_pip_reaches_its_index_in_the_build_as_it_does_here(listing: str, text: str, certificates: str) -> None:
    assert image.pip_configuration(listing) == (text, certificates)


@pytest.mark.integration
def test_pip_s_configuration_is_a_secret_of_the_build(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:word@index.example/simple")
    programs.add(
        "docker",
        f"{SAVE}\n"
        + 'for each; do case "$each" in --secret=*) cat "${each##*src=}";; esac; done'
        + f' >>"{programs.log}"',
    )
    monkeypatch.setenv("PATH", f"{programs.folder}:/usr/bin:/bin")
    image.build("tool:1", tmp_path / "image.tar", progress=silent)
    assert "index-url = https://user:word@index.example/simple" in programs.calls()
    assert [path.name for path in tmp_path.iterdir() if "secret" in path.name or path.suffix == ".conf"] == []


def test_the_report_names_what_takes_the_space(tmp_path: Path) -> None:
    binary = tmp_path / "tool"
    binary.write_bytes(bytes(3_000_000))
    archive.write(tmp_path / "image.tar", "tool:1", binary, image.USER)
    first, layer = image.report(archive.ImageArchive(tmp_path / "image.tar")).splitlines()
    assert first == f"tool:1 in {tmp_path / 'image.tar'}: 3 MB"
    assert layer == "  3 MB: tool 3.0"
