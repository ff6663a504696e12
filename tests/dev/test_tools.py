import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dev import go_build, tools
from dev.go_build import BuildError, Version, find_go, parse_version, required_version

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 darwin/arm64", (1, 27, 0)),
        ("go version go1.27rc1 linux/amd64", (1, 27, 0)),
        ("go 1.26.0", (1, 26, 0)),
        ("go version devel +abc", None),
        ("", None),
    ],
)
def test_parse_version(text: str, version: Version | None) -> None:
    assert parse_version(text) == version


def test_required_version_is_that_of_the_go_line() -> None:
    assert required_version("module m\n\ngo 1.26.0\n\nrequire go.example/x v1.30.0\n") == (1, 26, 0)
    with pytest.raises(BuildError, match="no line"):
        required_version("module m\n")


def test_the_module_asks_for_the_kubernetes_version_that_the_binary_reports() -> None:
    assert f"k8s.io/kubernetes {tools.KUBERNETES_VERSION}\n" in (tools.SOURCE / "go.mod").read_text()


@pytest.mark.parametrize(
    ("installed", "found"),
    [("1.27.0", "bin/go"), ("1.26.0", "bin/go"), ("1.25.9", "go-PINNED/go/bin/go")],
)
def test_find_go_takes_the_one_on_path_only_when_new_enough(
    installed: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = script(tmp_path / "bin" / "go", f"echo go version go{installed} linux/amd64")
    requirements = tmp_path / "requirements"
    requirements.write_text("# Go\ngo-bin==PINNED \\\n    --hash=sha256:0\n")
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    monkeypatch.setattr(go_build, "GO_REQUIREMENTS", requirements)
    monkeypatch.setattr(go_build, "_install_go", lambda folder, _cache: folder.mkdir())
    assert find_go((1, 26, 0), tmp_path, lambda _line: None) == tmp_path / found


def test_build_reports_progress_and_the_end_of_the_log_on_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(go_build, "PROGRESS_INTERVAL", 0.05)
    lines: list[str] = []
    compiled = tmp_path / "compiled"
    fake = f"""
        [ $1 = list ] && {{ echo a; echo b; exit; }}
        echo a >&2
        for _ in $(seq 100); do [ -e {compiled} ] && break; sleep 0.05; done
        echo undefined: x >&2; exit 3"""

    def progress(line: str) -> None:
        lines.append(line)
        if line.startswith("compiled 1 of 2 packages"):
            compiled.touch()

    go = script(tmp_path / "go", fake)
    with pytest.raises(BuildError, match=r"(?s)go build` in .* ended with 3:.*undefined: x"):
        go_build.build(go, tmp_path, [], tmp_path / "out", progress)
    assert any(line.startswith("compiled 1 of 2 packages") for line in lines)


def test_cache_key_changes_with_every_part_and_border() -> None:
    keys = {tools.cache_key(parts) for parts in ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"ab", b"d"])}
    assert len(keys) == 4
    assert tools.cache_key([b"ab", b"c"]) in keys


def test_two_that_build_at_once_build_once(tmp_path: Path) -> None:
    second_waits = threading.Event()
    built: list[Path] = []

    def make(path: Path) -> None:
        built.append(path)
        second_waits.wait(10)
        path.write_text("program")

    def progress(line: str) -> None:
        assert "another process" in line
        second_waits.set()

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(tools.build_once, tmp_path / "program", make, progress) for _ in range(2)]
        assert [future.result().read_text() for future in asked] == ["program", "program"]
    assert len(built) == 1


def test_a_failed_build_leaves_no_program(tmp_path: Path) -> None:
    def make(path: Path) -> None:
        path.write_text("half a prog")
        raise BuildError("no space")

    with pytest.raises(BuildError, match="no space"):
        tools.build_once(tmp_path / "program", make, lambda _line: None)
    assert [file.name for file in tmp_path.iterdir()] == ["program.lock"]


@pytest.mark.parametrize(
    ("program", "argument", "says"),
    [(tools.kubectl, "--help", "kubectl controls"), (tools.nats_server, "--version", "nats-server: v")],
)
def test_programs_of_wheels_run(program: object, argument: str, says: str) -> None:
    assert callable(program)
    done = subprocess.run([program(), argument], capture_output=True, text=True, check=True)
    assert says in done.stdout


def test_a_missing_wheel_is_named() -> None:
    with pytest.raises(BuildError, match="comes with the wheel no-such-wheel: pip install"):
        tools._wheel_program("no-such-wheel", "x")


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_both_modules_name_the_same_versions_so_that_they_share_what_is_compiled() -> None:
    def versions(source: Path) -> dict[str, str]:
        return dict(re.findall(r"^\t(?:\S+ => )?(\S+) (v\S+)", (source / "go.mod").read_text(), re.MULTILINE))

    control_plane, node = versions(tools.SOURCE), versions(tools.NODE_SOURCE)
    shared = control_plane.keys() & node.keys()
    assert len(shared) > 100
    assert {name: control_plane[name] for name in shared} == {name: node[name] for name in shared}
