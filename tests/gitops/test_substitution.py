"""Flux's variables and JavaScript's template literals, by Flux's own code."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from dev.gitops_health import SUBSTITUTE, GitOpsHealth
from tests.gitops.states import PROJECT

pytestmark = pytest.mark.integration

PAGE = (PROJECT / "docs" / "gitops.md").read_text()
[GREETER] = [
    yaml.safe_load(block)
    for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    if SUBSTITUTE in block
]
VARIABLES = {"cluster_name": "production"}


def without_annotation(manifest: dict[str, Any]) -> dict[str, Any]:
    return {**manifest, "metadata": {"name": manifest["metadata"]["name"]}}


def script(manifest: dict[str, Any], text: str) -> dict[str, Any]:
    return {**without_annotation(manifest), "spec": {"script": text}}


@pytest.mark.parametrize("strict", [False, True])
def test_what_the_page_shows_arrives_as_it_is(strict: bool, gitops_health: GitOpsHealth) -> None:
    assert "${input.name}" in GREETER["spec"]["script"]
    assert gitops_health.substituted(GREETER, VARIABLES, strict=strict) == GREETER


@pytest.mark.parametrize("kind", ["annotations", "labels"])
def test_only_the_word_disabled_saves_it(kind: str, gitops_health: GitOpsHealth) -> None:
    for word, saved in (("disabled", True), ("enabled", False)):
        manifest = script(GREETER, "return `${name}`;")
        manifest["metadata"][kind] = {SUBSTITUTE: word}
        assert (gitops_health.substituted(manifest, VARIABLES, strict=False) == manifest) == saved


@pytest.mark.parametrize(
    ("written", "applied"),
    [
        ("`Hello, ${name}!`", "`Hello, !`"),
        ("`$${input.name} of ${cluster_name}`", "`${input.name} of production`"),
        ("`${cluster_name}`", "`production`"),
        ("`$name costs $5`", "`$name costs $5`"),
    ],
)
def test_without_it_flux_takes_what_looks_like_a_variable(
    written: str, applied: str, gitops_health: GitOpsHealth
) -> None:
    found = gitops_health.substituted(script(GREETER, written), VARIABLES, strict=False)
    assert found["spec"]["script"] == applied


def test_the_strict_mode_refuses_it(gitops_health: GitOpsHealth) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        gitops_health.substituted(script(GREETER, "return `${name}`;"), VARIABLES, strict=True)
    assert "variable not set (strict mode)" in raised.value.stderr


def test_a_dot_stops_it_in_any_mode(gitops_health: GitOpsHealth) -> None:
    """So it is with the script of the page."""
    for manifest in (without_annotation(GREETER), script(GREETER, "return `${input.name}`;")):
        with pytest.raises(subprocess.CalledProcessError) as raised:
            gitops_health.substituted(manifest, VARIABLES, strict=False)
        assert "missing closing brace" in raised.value.stderr


def test_every_script_with_such_a_literal_on_the_page_is_annotated() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert [block for block in blocks if "${" in block and f"{SUBSTITUTE}: disabled" not in block] == []
