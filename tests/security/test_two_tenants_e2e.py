"""Two tenants on one installation: whatever the one writes, the other's runs go on, and no replica dies of it.

    make security

runs this table against a real API server, NATS, two operators and two projectors. It takes minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from dev.control_plane import ControlPlane
from dev.stack import Process, Stack
from tests.e2e.world import FINAL, World, listed
from tests.fixtures.workflowruns import Kubectl, manifest
from tests.security.hostile import Attack, attacks

pytestmark = pytest.mark.e2e

HELLO = {"script": "function main() { return 'hello' }"}
HELLO_SECONDS = 5.0
"""What a small run of another tenant may take from create to Finished, kubectl's own start included."""
HELLOS = 4
END_SECONDS = 180.0
"""In which every hostile run has to end that has to end: the limits strike within a minute, on two busy cores."""


@pytest.fixture(scope="module")
def stack(workflowrun_api: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(workflowrun_api, tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def victim(workflowrun_api: ControlPlane) -> Kubectl:
    workflowrun_api.kubectl("create", "namespace", "calm")
    return Kubectl(workflowrun_api, "calm")


def replicas(stack: Stack) -> list[Process]:
    return [*stack.operators, *stack.projectors]


def create(kubectl: Kubectl, attack: Attack) -> None:
    """All runs at once. Not applied: the annotation with which kubectl applies holds no large object."""
    runs = [manifest(name, spec) for name, spec in attack.specs.items()]
    kubectl("create", "-f", "-", document=listed(runs))


def hello_seconds(victim: Kubectl, name: str) -> float:
    """From create to Finished, as kubectl sees it."""
    begun = time.monotonic()
    victim("create", "-f", "-", document=manifest(name, HELLO))
    victim("wait", "--for=condition=Finished", f"workflowrun/{name}", "--timeout=60s")
    seconds = time.monotonic() - begun
    assert victim.get(name)["status"]["output"] == "hello"
    return seconds


@pytest.mark.parametrize("attack", [pytest.param(each, id=each.name.replace(" ", "-")) for each in attacks()])
def test_another_tenant_goes_on(attack: Attack, stack: Stack, kubectl: Kubectl, victim: Kubectl) -> None:
    before = [replica.pid for replica in replicas(stack)]
    hostile = World(stack, kubectl)
    create(kubectl, attack)
    label = kubectl.namespace
    seconds = [hello_seconds(victim, f"hello-{label}-{number}") for number in range(HELLOS)]
    deaf = [replica.name for replica in replicas(stack) if not replica.alive()]
    assert max(seconds) < HELLO_SECONDS, f"{attack.name}: {seconds}\n{stack.tails(15)}"
    assert not deaf, f"{attack.name}: {deaf} do not answer\n{stack.tails(15)}"
    if attack.ends:
        hostile.ended(attack.specs, within=END_SECONDS)
    dead = [replica.name for replica in replicas(stack) if replica.exit_code is not None]
    assert not dead, f"{attack.name}: {dead} ended\n{stack.tails(15)}"
    assert [replica.pid for replica in replicas(stack)] == before


def test_everything_hostile_can_be_deleted(stack: Stack, kubectl: Kubectl) -> None:
    """A namespace full of runs that never end is emptied in one request, and its runs give back their slots."""
    hostile = World(stack, kubectl)
    specs = {f"loop-{number}": {"script": "function main() { for (;;) sleep(2) }"} for number in range(20)}
    hostile.apply(*specs.items())
    hostile.until(lambda: all(run["status"]["phase"] not in FINAL for run in hostile.runs().values()), "they run")
    keys = [hostile.key(name) for name in specs]
    kubectl("delete", "workflowruns", "--all", "--wait=false")
    hostile.until(
        lambda: all(history and history[-1].terminal for history in hostile.histories(keys).values()),
        "every instance has ended",
        within=60,
    )
