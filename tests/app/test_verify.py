"""How an installation is verified, with a cluster of this test's own."""

from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from workflow_operator.app.verify import VerificationFailed, manifest, verify
from workflow_operator.history.errors import NotFound, Unavailable

COMPLETE = {
    "observedGeneration": 1,
    "phase": "Complete",
    "output": 42,
    "conditions": [
        {
            "type": "Complete",
            "status": "True",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "reason": "Succeeded",
            "message": "the script ended well after 1 step",
        }
    ],
}
UNSEEN = {"observedGeneration": -1, "phase": "Pending"}
PENDING = {"observedGeneration": 1, "phase": "Pending"}


class Cluster:
    """Shows the given statuses one after another, the last one for ever; None is an object that is gone."""

    def __init__(self, *shown: dict[str, Any] | Exception | None) -> None:
        self.shown = list(shown)
        self.runs: set[str] = set()

    async def create(self, namespace: str, run: dict[str, Any]) -> dict[str, Any]:
        name = run["metadata"]["generateName"] + "x7x"
        self.runs.add(f"{namespace}/{name}")
        self.created = {**run, "metadata": {"namespace": namespace, "name": name}}
        return self.created

    async def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        shown = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        if isinstance(shown, Exception):
            raise shown
        uid = "4f3c1fd9-6b1f-4f0e-8d39-5ac04e5ad6f1"
        metadata: dict[str, Any] = {
            "namespace": namespace,
            "name": name,
            "uid": uid,
            "resourceVersion": "1",
            "generation": 1,
        }
        metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
        return shown and {**self.created, "metadata": metadata, "status": shown}

    async def delete(self, namespace: str, name: str) -> None:
        self.runs.remove(f"{namespace}/{name}")


async def verified(cluster: Cluster) -> list[str]:
    """What was said."""
    clock = FakeClock()
    lines: list[str] = []
    try:
        await clock.until(verify(cluster, "ns", 30.0, clock, lines.append))
    finally:
        assert not cluster.runs, "the run is deleted in any case"
    return lines


async def test_a_run_that_completes_with_the_right_output_verifies_the_installation() -> None:
    assert await verified(Cluster(UNSEEN, PENDING, PENDING, COMPLETE)) == [
        "ns/verify-x7x: created",
        "ns/verify-x7x: Pending, not seen by an operator yet",
        "ns/verify-x7x: Pending",
        "ns/verify-x7x: Complete, Succeeded: the script ended well after 1 step",
    ]


async def test_an_outage_of_the_api_server_meanwhile_is_told_and_waited_for() -> None:
    assert "ns/verify-x7x: away" in await verified(Cluster(PENDING, Unavailable("away"), COMPLETE))


@pytest.mark.parametrize(
    ("shown", "error", "text"),
    [
        (UNSEEN, VerificationFailed, "not finished after 30 s; last seen: Pending, not seen by an operator yet"),
        (Unavailable("away"), VerificationFailed, "not finished after 30 s; last seen: away"),
        (COMPLETE | {"output": 41}, VerificationFailed, "expected the output 42, and it is 41"),
        (COMPLETE | {"phase": "Failed"}, VerificationFailed, "expected Complete, and it is Failed, Succeeded"),
        (None, NotFound, "somebody deleted the run"),
    ],
)
async def test_anything_else_does_not(
    shown: dict[str, Any] | Exception | None, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        await verified(Cluster(shown))


def test_the_run_asks_for_a_name_of_its_own() -> None:
    assert manifest()["metadata"] == {"generateName": "verify-"}
