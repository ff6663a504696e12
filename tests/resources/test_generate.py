"""The committed files are the generated ones, and the schema is what Kubernetes takes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow_operator.resources.crd import crd, signal_crd
from workflow_operator.resources.generate import (
    BEGIN,
    CRD_FILE,
    END,
    REFERENCE_FILE,
    SIGNAL_CRD_FILE,
    SIGNAL_REFERENCE_FILE,
    SPEC_FILE,
    main,
    with_field_reference,
)

PROJECT = Path(__file__).parents[2]
WHOLE = (CRD_FILE, SIGNAL_CRD_FILE, SPEC_FILE)
PAGES = (REFERENCE_FILE, SIGNAL_REFERENCE_FILE)


def test_the_committed_files_are_the_generated_ones(tmp_path: Path) -> None:
    for file in (*WHOLE, *PAGES):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / file, tmp_path / file)
    for file in WHOLE:
        (tmp_path / file).write_text("")
    main(tmp_path)
    for file in (*WHOLE, *PAGES):
        assert (tmp_path / file).read_text() == (PROJECT / file).read_text(), f"{file} is stale: run `make crds`"


def test_the_files_hold_the_crds() -> None:
    assert yaml.safe_load((PROJECT / CRD_FILE).read_text()) == crd()
    assert yaml.safe_load((PROJECT / SIGNAL_CRD_FILE).read_text()) == signal_crd()


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{BEGIN}{END}{END}"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="must hold"):
        with_field_reference(page, crd())


def test_generating_twice_changes_nothing() -> None:
    page = f"# Head\n\n{BEGIN}\n{END}\n\ntail\n"
    once = with_field_reference(page, crd())
    assert with_field_reference(once, crd()) == once
    assert once.startswith("# Head\n\n")
    assert once.endswith("\n\ntail\n")


def nodes(path: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(f"{path}.{name}", child)
    if "items" in schema:
        yield from nodes(f"{path}[]", schema["items"])


OWN_NODES = [
    (path, node)
    for name in ("spec", "status")
    for path, node in nodes(name, crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][name])
]


@pytest.mark.parametrize(("path", "node"), OWN_NODES, ids=[path for path, _ in OWN_NODES])
def test_every_field_is_described_and_bounded(path: str, node: dict[str, Any]) -> None:
    assert node["description"], path
    assert not {"$ref", "anyOf", "allOf", "title", "$defs"} & node.keys()
    match node.get("type"):
        case "string":
            assert {"maxLength", "enum", "format"} & node.keys(), f"{path} has no cap"
        case "array":
            assert "maxItems" in node, f"{path} has no cap"
        case "integer":
            assert node["format"] == "int64"
            assert "minimum" in node
        case "object":
            assert "properties" in node
        case None:
            assert node["x-kubernetes-preserve-unknown-fields"] is True
        case "boolean":
            # What may change has no default: a tool that applies manifests would see a difference in each.
            assert "default" not in node
        case other:
            pytest.fail(f"{path} has the unexpected type {other}")


def test_every_field_of_the_spec_but_suspend_has_its_rule_of_immutability() -> None:
    spec = dict(OWN_NODES)["spec"]
    rules = [rule["message"] for rule in spec["x-kubernetes-validations"]]
    for field in spec["properties"].keys() - {"suspend"}:
        assert any(message.startswith(f"spec.{field} is immutable: ") for message in rules), field
