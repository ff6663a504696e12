"""Manifests that the API server would refuse, and what their authors are told."""

from typing import Any

import pytest

from tests.cli.manifests import ACCEPTED, REFUSED, manifest
from workflow_operator.cli.manifest.rules import problems


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_api_server_takes(changes: dict[str, Any]) -> None:
    assert problems(manifest(changes), {}) == []


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED)
def test_what_it_refuses(changes: dict[str, Any], words: str) -> None:
    told = "; ".join(problems(manifest(changes), {}))
    assert words in told


def test_several_problems_are_told_at_once_and_with_their_lines() -> None:
    run = manifest({"spec.inputs": 1, "spec.entrypoint": 5})
    assert problems(run, {("spec", "inputs"): 7}) == [
        'unknown field "spec.inputs", did you mean "spec.input"? (line 7)',
        "spec.entrypoint: expected text, got the number 5; put it in quotes",
    ]
