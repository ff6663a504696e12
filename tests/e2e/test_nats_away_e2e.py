"""NATS refuses the operators, or goes away: log, readiness and the runs themselves say so, until it is back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from dev.control_plane import ControlPlane
from dev.stack import Stack, blocking
from tests.e2e.scripts import QUICK, sleeper
from tests.e2e.world import History, World, assert_sound, ends_with, histories, key_of, until, writes
from tests.fixtures.workflowruns import Kubectl
from workflow_operator.history import EventType, InstanceKey
from workflow_operator.jetstream import EmbeddedServer

pytestmark = pytest.mark.e2e

SECRET = "s3cr3t-of-the-url"
WAITING = ["first", "second", "third"]


class Installation(World):
    """Two operators that log in with a password in their URL."""

    def let_in(self, password: str) -> None:
        """Have NATS accept this password from now on."""
        login = {"user": "operator", "password": password}
        (self.stack.directory / "nats" / "logins.conf").write_text(f"authorization {{ users: [{json.dumps(login)}] }}")
        blocking(self.stack.nats.restart())

    @property
    def nats_url(self) -> str:
        return self.stack.nats.url.replace("//", f"//operator:{SECRET}@")

    def histories(self, keys: Iterable[InstanceKey]) -> dict[InstanceKey, History]:
        return histories(self.nats_url, keys)

    def reasons(self, name: str) -> list[tuple[str, str]]:
        conditions = self.run(name)["status"].get("conditions", [])
        return [(each["type"], each["reason"]) for each in conditions]

    def said(self) -> str:
        """All that anybody can read."""
        logs = [process.log.read_text() for process in (*self.stack.operators, *self.stack.projectors)]
        return "".join([*logs, self.kubectl("get", "workflowruns,events", "-o", "yaml")])


@pytest.fixture
def installation(workflowrun_api: ControlPlane, kubectl: Kubectl, tmp_path: Path) -> Iterator[Installation]:
    stack = Stack(workflowrun_api, tmp_path / "stack")
    (stack.directory / "nats").mkdir(parents=True)
    stack.install()
    stack.nats = EmbeddedServer(stack.directory / "nats", sync_always=False, config='include "logins.conf"')
    made = Installation(stack, kubectl)
    made.let_in("another")
    for _ in range(2):
        stack.start_operator(WORKFLOW_OPERATOR_NATS_URL=made.nats_url)
    yield made
    stack.stop()


def test_a_login_that_is_refused_and_a_server_that_is_away(installation: Installation) -> None:
    world, stack = installation, installation.stack
    before = writes(stack.control_plane.metrics())
    world.apply(*((name, {"script": QUICK}) for name in WAITING))
    refused = [("Reconciling", "NatsRefused")]
    world.until(lambda: all(world.reasons(name) == refused for name in WAITING), "every run says why it waits")
    message = world.run("first")["status"]["conditions"][0]["message"]
    assert stack.nats.url in message
    assert "does not accept the login in the URL" in message
    for operator in stack.operators:
        assert not operator.ready()
        assert "does not accept the login in the URL" in operator.problems()["nats"]
        assert any("does not accept the login" in record["message"] for record in operator.log_records())
    stack.operators[0].terminate()
    assert stack.operators[0].wait() == 0, "one that waits for NATS ends in good order"
    stack.operators[0] = stack.start_operator(WORKFLOW_OPERATOR_NATS_URL=world.nats_url)
    stack.operators.pop()

    world.let_in(SECRET)
    stack.add_projector(WORKFLOW_OPERATOR_NATS_URL=world.nats_url)
    runs = world.ended(WAITING)
    assert {run["status"]["phase"] for run in runs.values()} == {"Complete"}
    assert [each["type"] for each in runs["first"]["status"]["conditions"]] == ["Complete", "Finished"]
    made = writes(stack.control_plane.metrics()) - before
    # Two operators try to write the condition, and one of them lands. A write for each try at NATS would be hundreds.
    assert 2 * len(WAITING) <= made["workflowruns", "status", "PUT"] <= 10 * len(WAITING)

    world.apply(("sleeps", {"script": sleeper(30)}))
    key = world.key("sleeps")
    world.history_until(key, ends_with(EventType.WAITING), "parked")
    world.until(lambda: world.reasons("sleeps") == [("Reconciling", "Sleeping")], "its status is written")
    shown = world.run("sleeps")["status"]
    stack.nats.kill()
    world.until(lambda: world.reasons("sleeps") == [("Reconciling", "NatsUnavailable")], "it says that NATS is away")
    status = world.run("sleeps")["status"]
    assert status | {"conditions": []} == shown | {"conditions": []}
    assert stack.nats.url in status["conditions"][0]["message"]
    blocking(stack.nats.start())
    until(lambda: all(operator.ready() for operator in stack.operators), "every operator is ready again")
    run = world.ended(["sleeps"])["sleeps"]
    assert (run["status"]["phase"], run["status"]["steps"]) == ("Complete", 3)
    assert "Nats" not in str(run["status"])
    assert_sound(world.history(key_of(run)))
    assert SECRET not in world.said()
