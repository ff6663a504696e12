"""The parts of the node that need no root: what it is configured with, and what it leaves behind."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
import yaml

from dev.node import cgroups, choose, config, packages
from dev.node.init import NODE_ADDRESS, SERVICE_RANGE
from dev.node.node import cgroup_of, remove_leftovers
from dev.node.packages import MissingError

DATA = Path("/data")
TOKENS = {name: f"token-of-{name}" for name in config.USERS}


def test_every_user_has_a_kubeconfig_and_a_token_of_its_own() -> None:
    files = config.files(DATA, "group", TOKENS, b"authority")
    lines = files["tokens.csv"].splitlines()
    assert len(lines) == len(set(lines)) == len(config.USERS)
    for name, (user, group) in config.USERS.items():
        assert f'{TOKENS[name]},{user},{user},"{group}"' in lines
        kubeconfig = yaml.safe_load(files[f"{name}.kubeconfig"])
        assert kubeconfig["users"][0]["user"] == {"token": TOKENS[name]}


def test_pods_run_below_the_group_of_their_node() -> None:
    kubelet = yaml.safe_load(config.files(DATA, "group", TOKENS, b"")["kubelet.yaml"])
    assert kubelet["cgroupRoot"] == "/group"
    assert kubelet["seccompDefault"] is True


def test_every_program_finds_the_files_it_is_told_of() -> None:
    files = config.files(DATA, "group", TOKENS, b"")
    words = [word for command in config.programs(DATA, Path("/cp"), Path("/np")).values() for word in command]
    made = {str(DATA / name) for name in files}
    named = {word.rpartition("=")[2] for word in words if word.endswith((".yaml", ".kubeconfig", ".toml", "Corefile"))}
    assert named <= made
    assert len(named) >= 6


def test_services_and_pods_have_addresses_of_different_ranges() -> None:
    assert config.API_SERVICE_ADDRESS.rpartition(".")[0] in SERVICE_RANGE
    assert not config.POD_RANGE.startswith(NODE_ADDRESS.rpartition(".")[0])


def test_volumes_are_as_many_as_their_folders() -> None:
    volumes = [each for each in config.first_objects(DATA) if each["kind"] == "PersistentVolume"]
    assert [each["spec"]["local"]["path"] for each in volumes] == [f"/data/volumes/{n}" for n in range(config.VOLUMES)]


def test_missing_packages_are_named_where_they_cannot_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "PROGRAMS", {"no-such-program": "some-package", "/no/such/file": "other-package"})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingError, match="these Debian packages are missing: other-package some-package"):
        packages.ensure(print)


def test_a_machine_that_can_have_no_node_is_told_what_one_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MissingError, match="a node needs root on Linux, with the right to make namespaces, or docker and kind"
    ):
        choose.choose(print)


@pytest.fixture
def hierarchies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two hierarchies of version 1, as plain folders."""
    root = tmp_path / "cgroup"
    for name in ("cpu,cpuacct", "memory"):
        (root / name).mkdir(parents=True)
        (root / name / "cgroup.procs").touch()
    (root / "cpu").symlink_to("cpu,cpuacct")
    monkeypatch.setattr(cgroups, "ROOT", root)
    return root


def test_cgroups_are_made_in_each_hierarchy_and_removed_with_what_is_in_them(hierarchies: Path) -> None:
    cgroups.make("group")
    made = sorted(path.relative_to(hierarchies).as_posix() for path in hierarchies.glob("*/group"))
    assert made == ["cpu,cpuacct/group", "cpu/group", "memory/group"]
    (hierarchies / "memory" / "group" / "pods" / "pod").mkdir(parents=True)
    cgroups.remove("group")
    assert list(hierarchies.glob("*/group")) == []


def test_what_a_dead_node_left_is_removed_and_a_living_one_is_not(tmp_path: Path, hierarchies: Path) -> None:
    living, dead = tmp_path / "nodes" / "living", tmp_path / "nodes" / "dead"
    for data in (living, dead):
        data.mkdir(parents=True)
        cgroups.make(cgroup_of(data))
    with (living / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_leftovers(tmp_path / "nodes")
    assert list((tmp_path / "nodes").iterdir()) == [living]
    assert {path.name for path in hierarchies.glob("*/workflow-operator-*")} == {cgroup_of(living)}
