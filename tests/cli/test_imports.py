"""What the commands load: a cluster's client takes longer to load than a run takes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

PROBE = """
import gc, json, sys
from workflow_operator.cli import main
try:
    main(sys.argv[1:])
finally:
    told = {"modules": sorted(sys.modules), "collects": gc.isenabled(), "frozen": gc.get_freeze_count()}
    print("told", json.dumps(told), file=sys.stderr)
"""
# aiohttp itself may be there, put off until it is used.
OF_A_CLUSTER = {"aiohttp.client", "aiohttp.web", "kopf", "kubernetes", "opentelemetry", "pythonjsonlogger"}
# The types of the object: what a manifest must be is read from the schema that they make.
OF_AN_OBJECT = {"pydantic", "workflow_operator.reconcile", "workflow_operator.resources.run"}
OF_A_RUN = {"msgspec", "nats", "prometheus_client", "yaml"}


EXAMPLE = Path(__file__).parents[2] / "examples" / "hello.yaml"


def probed(folder: Path, *words: str | Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words],
        env={**os.environ, "XDG_STATE_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stderr.rpartition("told ")[2])
    return told


def loaded(folder: Path, *words: str | Path) -> set[str]:
    return set(probed(folder, *words)["modules"])


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("history", "--help"), ("operator", "--help")])
def test_help_loads_nothing_but_the_parser_of_words(tmp_path: Path, words: tuple[str, ...]) -> None:
    modules = loaded(tmp_path, *words)
    assert "click" in modules
    assert modules & (OF_A_CLUSTER | OF_AN_OBJECT | OF_A_RUN) == set()


def test_a_local_run_loads_nothing_of_a_cluster(tmp_path: Path) -> None:
    file = tmp_path / "quick.js"
    file.write_text("function main() { return 1 }")
    for each in (file, EXAMPLE):
        assert loaded(tmp_path, "run", each) & (OF_A_CLUSTER | OF_AN_OBJECT | {"nats.js.api"}) == set(), each
    for command in ("history", "status", "output"):
        assert loaded(tmp_path, command, "default/quick") & OF_A_CLUSTER == set(), command


def test_the_collector_leaves_out_what_a_local_run_has_loaded_and_works_on(tmp_path: Path) -> None:
    told = probed(tmp_path, "run", EXAMPLE)
    assert told["collects"]
    assert told["frozen"] > 10_000


def test_an_operator_loads_nothing_of_its_clients_that_it_does_not_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "operator"],
        # It has loaded everything when it finds that this is no number.
        env={**os.environ, "WORKFLOW_OPERATOR_EXECUTOR_SLOTS": "many"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    modules = set(json.loads(done.stderr.rpartition("told ")[2])["modules"])
    assert {"kopf", "kubernetes.aio.client", "uvloop"} <= modules, done.stderr
    assert modules & {"nats.js.api", "requests", "oauthlib", "kubernetes.config.kube_config"} == set()


def test_the_process_that_holds_v8_does_not_load_an_event_loop() -> None:
    probe = (
        "import sys; import workflow_operator.javascript.worker.zygote; "
        "sys.exit(str(sys.modules.keys() & {'asyncio.events', 'ssl'} or ''))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr.strip() == ""
