"""The import contracts hold, each of them notices when it is broken, and none misses a dependency."""

import configparser
import importlib.metadata
import re
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).parents[2]
CONTRACTS = PROJECT / ".importlinter"

VIOLATIONS = {
    "layers": ("engine/clock.py", "import workflow_operator.projector"),
    "sandbox-layers": ("javascript/worker/wire.py", "import workflow_operator.javascript.host.pool"),
    "worker": ("javascript/worker/wire.py", "import yaml"),
    "pure": ("replay/index.py", "import time"),
    "nats": ("engine/driving/tail.py", "import nats"),
    "jetstream": ("jetstream/connect/login.py", "import workflow_operator.jetstream.streams"),
    "engine": ("engine/outcome.py", "import workflow_operator.engine.driving.tail"),
    "reconcile": ("reconcile/objects/store.py", "import workflow_operator.reconcile.showing.desired"),
    "kopf": ("reconcile/objects/queue.py", "import kopf"),
    "kubernetes": ("handlers/watch.py", "import kubernetes"),
    "v8": ("javascript/host/process.py", "import py_mini_racer"),
    "prometheus": ("app/health.py", "import prometheus_client"),
    "opentelemetry": ("engine/driving/drive.py", "import opentelemetry"),
    "cryptography": ("jetstream/connect/login.py", "import cryptography"),
}
"""For each contract, an import that breaks it: file and line."""


@pytest.fixture(scope="module")
def contracts() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(CONTRACTS)
    return parser


def verdicts(folder: Path) -> dict[str, bool]:
    """For each contract, by its name, whether the package in `folder` keeps it."""
    command = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run(
        [command, "--config", CONTRACTS, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )
    found = re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    assert (done.returncode == 0) == all(verdict == "KEPT" for _, verdict in found)
    return {name: verdict == "KEPT" for name, verdict in found}


def names(contracts: configparser.ConfigParser) -> dict[str, str]:
    prefix = "importlinter:contract:"
    return {
        section.removeprefix(prefix): contracts[section]["name"]
        for section in contracts.sections()
        if section.startswith(prefix)
    }


def test_every_contract_is_kept(contracts: configparser.ConfigParser) -> None:
    assert verdicts(PROJECT / "operator") == dict.fromkeys(names(contracts).values(), True)


def test_every_contract_notices_a_wrong_import(contracts: configparser.ConfigParser, tmp_path: Path) -> None:
    copy = tmp_path / "workflow_operator"
    shutil.copytree(PROJECT / "operator" / "workflow_operator", copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file, line in VIOLATIONS.values():
        with (copy / file).open("a") as source:
            source.write(f"\n{line}\n")

    expected = names(contracts)
    assert VIOLATIONS.keys() == expected.keys()
    assert verdicts(tmp_path) == dict.fromkeys(expected.values(), False)


def test_the_sandbox_may_import_no_dependency_but_its_engine(contracts: configparser.ConfigParser) -> None:
    """The contract has to list what is forbidden: this notices a new dependency that it does not know."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wheels = {re.split(r"[<>=]", each)[0].lower() for each in project["dependencies"]}
    modules = {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if wheels & {owner.lower() for owner in owners} and not module.startswith("_")
    }
    forbidden = set(contracts["importlinter:contract:worker"]["forbidden_modules"].split())
    assert modules - forbidden == {"py_mini_racer"}
