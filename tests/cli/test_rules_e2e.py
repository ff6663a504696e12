"""The API server and local mode judge manifests alike."""

from tests.cli.manifests import ACCEPTED, REFUSED, manifest
from tests.fixtures.workflowruns import Kubectl


def test_the_api_server_takes_and_refuses_the_same(kubectl: Kubectl) -> None:
    refusals = {
        name: kubectl.refusal("create", "--dry-run=server", "-f", "-", document=manifest(changes))
        for name, changes in ACCEPTED.items()
    }
    assert {name: text for name, text in refusals.items() if text} == {}
    taken = [
        name
        for name, (changes, _) in REFUSED.items()
        if not kubectl.refusal("create", "--dry-run=server", "-f", "-", document=manifest(changes))
    ]
    assert taken == []
