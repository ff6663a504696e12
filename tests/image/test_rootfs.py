"""Which files the image gets, and that nothing it leaves out is used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev import rootfs

SITE = Path("lib/python3.11/site-packages")


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("json/decoder.py", True),
        ("lib-dynload/_json.cpython-311-x86_64-linux-gnu.so", True),
        ("lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so", True),
        ("unittest/mock.py", True),
        ("json/__pycache__/decoder.cpython-311.pyc", False),
        ("site-packages/pip/__init__.py", False),
        ("ensurepip/_bundled/pip-24.0-py3-none-any.whl", False),
        ("config-3.11-x86_64-linux-gnu/libpython3.11.a", False),
        ("test/test_json/__init__.py", False),
        ("lib-dynload/_tkinter.cpython-311-x86_64-linux-gnu.so", False),
        ("lib-dynload/_sqlite3.cpython-311-aarch64-linux-gnu.so", False),
    ],
)
def test_the_standard_library_without_what_no_server_needs(path: str, kept: bool) -> None:
    assert rootfs.kept_of_stdlib(Path(path)) is kept


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("bin/python3", True),
        ("bin/workflow-operator", True),
        ("bin/kopf", False),
        ("bin/activate", False),
        ("include/python3.11/x.h", False),
        ("pyvenv.cfg", True),
        (str(SITE / "kopf/__init__.py"), True),
        (str(SITE / "kopf/__pycache__/__init__.cpython-311.pyc"), False),
        (str(SITE / "kubernetes/aio/client/api_client.py"), True),
        (str(SITE / "kubernetes/aio/client/models/__init__.py"), True),
        (str(SITE / "kubernetes/client/models/v1_object_meta.py"), True),
        (str(SITE / "kubernetes/aio/client/models/v1_pod.py"), False),
        (str(SITE / "kubernetes/client/api/core_v1_api.py"), False),
    ],
)
def test_the_environment_without_other_commands_and_the_generated_client(path: str, kept: bool) -> None:
    assert rootfs.kept_of_venv(Path(path)) is kept


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("bin/workflow-operator", True),
        ("bin/python3", False),
        ("pyvenv.cfg", False),
        (str(SITE / "workflow_operator/cli/main.py"), True),
        (str(SITE / "workflow_operator-0.1.0.dist-info/METADATA"), True),
        (str(SITE / "kopf/workflow_operator.py"), False),
    ],
)
def test_the_last_layer_is_this_project_s(path: str, ours: bool) -> None:
    assert rootfs.of_application(Path(path)) is ours


def test_a_link_is_placed_with_what_it_leads_to(tmp_path: Path) -> None:
    here = (tmp_path / "here").resolve()
    (here / "real").mkdir(parents=True)
    (here / "real" / "libz.so.1.2").write_text("code")
    (here / "real" / "libz.so.1").symlink_to("libz.so.1.2")
    (here / "merged").symlink_to("real")

    rootfs.place(here / "merged" / "libz.so.1", tmp_path / "root")

    placed = tmp_path / "root" / here.relative_to("/") / "real"
    assert os.readlink(placed / "libz.so.1") == "libz.so.1.2"
    assert (placed / "libz.so.1.2").read_text() == "code"
    assert not (placed.parent / "merged").exists()


@pytest.mark.integration
def test_the_libraries_of_a_program_are_found(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    names = {
        path.name.split(".")[0] for path in rootfs.shared_libraries([Path(sys.executable).resolve(), tmp_path / "text"])
    }
    assert "libc" in names
    assert rootfs.shared_libraries([tmp_path / "text"]) == []


# Imports every module, and then what the Kubernetes client would import where it is needed first.
_USE = """
import asyncio, importlib, json, pathlib, pkgutil, sys

import workflow_operator
from dev import rootfs

class Refuse:
    def find_spec(self, name, path=None, target=None):
        file = "/" + name.replace(".", "/") + ".py"
        if rootfs.GENERATED.search(file):
            raise AssertionError(f"{name} is left out of the image")

sys.meta_path.insert(0, Refuse())
for module in pkgutil.walk_packages(workflow_operator.__path__, "workflow_operator."):
    importlib.import_module(module.name)

from workflow_operator.cluster import client, configuration
from workflow_operator.history.errors import Unavailable

async def ask(kubeconfig):
    loaded = await configuration.load_configuration({"KUBECONFIG": kubeconfig})
    async with client.WorkflowRunClient(loaded) as runs:
        try:
            await runs.get("default", "absent")
        except Unavailable:
            print("asked")

asyncio.run(ask(sys.argv[1]))
"""


@pytest.mark.integration
def test_nothing_uses_the_generated_client(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        '{"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],'
        ' "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],'
        ' "users": [{"name": "u", "user": {"token": "t"}}]}'
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _USE, str(kubeconfig)], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout == "asked\n", done.stderr
