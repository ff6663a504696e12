"""Which store the commands look into: never silently at another run than the one that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dev.stack import blocking
from tests.e2e.scripts import QUICK
from tests.e2e.shell import Shell
from tests.e2e.world import connected
from tests.fakes.records import MOMENT, event, new_key, status
from workflow_operator.history import InstanceKey, Origin, StatusValue
from workflow_operator.jetstream import Connection, EmbeddedServer, JetStreamDataBus, TopologyOptions, ensure

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The URL of a NATS server with streams."""
    server = EmbeddedServer(tmp_path / "cluster", sync_always=False)
    blocking(server.start())
    try:
        connected(server.url, lambda connection: ensure(connection, TopologyOptions()))
        yield server.url
    finally:
        blocking(server.stop())


def put(url: str, *keys: InstanceKey) -> None:
    """Instances of a run `quick`, each a minute younger than the one before."""

    async def write(connection: Connection) -> None:
        bus = JetStreamDataBus(connection)
        for age, key in enumerate(keys):
            origin = Origin(cluster="c", name="quick")
            stored = await bus.push_instance_event(event(key, origin=origin, script="x"), expected=0)
            await bus.write_status(
                status(
                    key,
                    stored.sequence,
                    origin=origin,
                    created_at=MOMENT + timedelta(minutes=age),
                    ended_at=MOMENT + timedelta(minutes=age),
                    status=StatusValue.COMPLETE,
                    output={"of": str(key.instance_id)},
                )
            )

    connected(url, write)


def test_the_named_store_is_looked_at_and_no_other(shell: Shell, cluster: str) -> None:
    shell("run", shell.file("quick.js", QUICK))
    older, latest = new_key(), new_key()
    put(cluster, older, latest)
    shell.env["WORKFLOW_OPERATOR_NATS_URL"] = cluster
    for command in ("status", "history"):
        _, told = shell(command, "default/quick")
        assert told == f"{cluster}: instance {latest}, the latest of 2 of that name\n"
    assert json.loads(shell("output", "default/quick")[0]) == {"of": str(latest.instance_id)}
    for name in (str(older), str(older.instance_id)):
        assert json.loads(shell("output", name)[0]) == {"of": str(older.instance_id)}


def test_local_runs_are_looked_at_where_that_is_asked_for(shell: Shell, cluster: str) -> None:
    shell("run", shell.file("quick.js", QUICK))
    put(cluster, new_key())
    shell.env["WORKFLOW_OPERATOR_NATS_URL"] = cluster
    output, told = shell("output", "default/quick", "--local")
    assert json.loads(output) == "quick"
    assert told.startswith("local run default/quick of ")


def test_what_is_only_among_the_local_runs_is_named(shell: Shell, cluster: str) -> None:
    shell("run", shell.file("quick.js", QUICK))
    shell.env["WORKFLOW_OPERATOR_NATS_URL"] = cluster
    _, told = shell("status", "default/quick", code=2)
    assert told == (
        f"Error: instance default/quick: not found at {cluster}; there is a local run of that name: add --local\n"
    )


def test_a_named_store_that_does_not_answer_is_not_replaced(shell: Shell) -> None:
    shell("run", shell.file("quick.js", QUICK))
    shell.env["WORKFLOW_OPERATOR_NATS_URL"] = "nats://127.0.0.1:1"
    _, told = shell("status", "default/quick", code=2)
    assert told.startswith("Error: NATS at nats://127.0.0.1:1: ")


def test_a_run_that_is_nowhere_is_told_with_what_was_looked_at(shell: Shell) -> None:
    _, told = shell("history", "default/quick", code=2)
    assert "not found among the local runs; to look into a cluster's NATS, set WORKFLOW_OPERATOR_NATS_URL" in told
