"""What `workflow-operator run FILE` runs: a WorkflowRun manifest, or a plain script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_operator.app.local import LocalRun
from workflow_operator.cli.manifest.documents import read
from workflow_operator.cli.manifest.rules import JsonObject, problems
from workflow_operator.cli.manifest.yaml_reader import Document
from workflow_operator.history.errors import InvalidInput
from workflow_operator.resources.binary import why_binary
from workflow_operator.resources.names import API_VERSION, KIND

_SCRIPT_SUFFIXES = frozenset({".js", ".mjs", ".cjs"})
_NOT_YET = frozenset({".ts", ".mts", ".cts"})


@dataclass(frozen=True)
class Loaded:
    """A run, and where its script stands.

    ``first_line`` is the line of ``file`` at which the script begins, from 1; None where its lines lie otherwise in the
    file than in the script. ``notes`` are sentences for the author: what is accepted, and probably not meant.
    """

    run: LocalRun
    file: Path
    first_line: int | None = None
    notes: tuple[str, ...] = ()


def load(path: Path) -> Loaded:
    """Read a manifest, as kubectl reads it and the API server checks it, or a script.

    Raises:
        InvalidInput: the file cannot be read, or is neither; the text names the file and what was expected.
    """
    if path.suffix in _NOT_YET:
        raise InvalidInput(f"{path}: TypeScript is not available in this version; compile it to JavaScript first")
    try:
        data = path.read_bytes()
        if path.suffix in _SCRIPT_SUFFIXES:
            return Loaded(LocalRun("default", path.stem, data.decode("utf-8-sig"), None, None), path, 1)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from error
    try:
        return _manifest(path, read(data))
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error


def _manifest(path: Path, documents: list[Document]) -> Loaded:
    objects = [each for document in documents for each in _unlisted(document)]
    runs = [each for each in objects if each.value.get("kind") == KIND]
    if len(runs) != 1 or runs[0].value.get("apiVersion") != API_VERSION:
        raise InvalidInput(
            f"expected exactly one {KIND} of {API_VERSION}, or a script whose name ends in .js; found "
            f"{len(runs)} {KIND}s among {len(documents)} documents{_kinds(objects)}"
        )
    (document,) = runs
    if found := problems(document.value, document.lines):
        raise InvalidInput(f"the API server would refuse this {KIND}: {'; '.join(found)}")
    metadata, spec = document.value["metadata"], document.value["spec"]
    name = metadata.get("name") or metadata["generateName"].rstrip("-.")
    namespace = metadata.get("namespace") or "default"
    script, first_line = spec.get("script"), document.texts.get(("spec", "script"))
    if script is None:
        script, first_line = _from_config_map(objects, namespace, spec["scriptFrom"]["configMapKeyRef"])
    notes = tuple(
        f"{path}: line {line}: the key {key!r} is given twice; the last one counts, as it does for kubectl"
        for each in documents
        for line, key in each.doubles
    )
    run = LocalRun(namespace, name, script, spec.get("entrypoint"), spec.get("input"))
    return Loaded(run, path, first_line, notes)


def _kinds(objects: list[Document]) -> str:
    """The kinds that a file has, as far as they fit on a line: a misspelt one is seen."""
    kinds = list(dict.fromkeys(f"{each.value.get('kind')} of {each.value.get('apiVersion')}" for each in objects))
    return f": {', '.join(kinds[:3])[:200]}" if kinds else ""


def _unlisted(document: Document) -> list[Document]:
    """The objects of a document: itself, or the items of a v1 List."""
    value = document.value
    if not isinstance(value, dict):
        return []
    if (value.get("apiVersion"), value.get("kind")) == ("v1", "List") and isinstance(value.get("items"), list):
        return [Document(item) for item in value["items"] if isinstance(item, dict)]
    return [document]


def _from_config_map(objects: list[Document], namespace: str, reference: JsonObject) -> tuple[str, int | None]:
    """The script, and its line. Local mode has no cluster: the ConfigMap must stand in the same file."""
    name, key = reference["name"], reference["key"]
    for each in objects:
        metadata = each.value.get("metadata")
        if each.value.get("kind") != "ConfigMap" or not isinstance(metadata, dict):
            continue
        if (metadata.get("name"), metadata.get("namespace") or "default") != (name, namespace):
            continue
        where = f"ConfigMap {namespace}/{name}"
        if key in (binary := _mapping(each.value, "binaryData", where)):
            raise InvalidInput(f"{where}, key {key!r} is in binaryData, {why_binary(binary[key])}")
        data = _mapping(each.value, "data", where)
        if key not in data:
            raise InvalidInput(f"{where} has no key {key!r} in data")
        if not isinstance(data[key], str):
            raise InvalidInput(f"{where}, key {key!r}: expected text, got {data[key]!r}; put it in quotes")
        return data[key], each.texts.get(("data", key))
    raise InvalidInput(
        f"spec.scriptFrom names key {key!r} of ConfigMap {namespace}/{name}, which is not in this file; local mode "
        "reads no cluster"
    )


def _mapping(config_map: JsonObject, field: str, where: str) -> dict[str, Any]:
    found = config_map.get(field) or {}
    if not isinstance(found, dict):
        raise InvalidInput(f"{where}: {field}: expected a mapping, got {found!r}")
    return found
