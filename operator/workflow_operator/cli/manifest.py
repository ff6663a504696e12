"""What `workflow-operator run FILE` runs: a WorkflowRun manifest, or a plain script."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from workflow_operator.app.local import LocalRun
from workflow_operator.history.errors import InvalidInput
from workflow_operator.resources.run import API_VERSION, KIND, RunSpec

_SCRIPT_SUFFIXES = frozenset({".js", ".mjs", ".cjs"})
_NOT_YET = frozenset({".ts", ".mts", ".cts"})


def load(path: Path) -> LocalRun:
    """Read a manifest or a script.

    Raises:
        InvalidInput: the file cannot be read, or is neither; the text names the file and what was expected.
    """
    if path.suffix in _NOT_YET:
        raise InvalidInput(f"{path}: TypeScript is not available in this version; compile it to JavaScript first")
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from error
    if path.suffix in _SCRIPT_SUFFIXES:
        return LocalRun("default", path.stem, text, None, None)
    return _manifest(path, text)


def _manifest(path: Path, text: str) -> LocalRun:
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    # Numbers and dates that Python cannot hold leave the parser as a plain ValueError.
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidInput(f"{path}: not YAML: {error}") from error
    except RecursionError as error:
        raise InvalidInput(f"{path}: nested too deeply") from error
    runs = [each for each in documents if isinstance(each, dict) and each.get("kind") == KIND]
    if len(runs) != 1 or runs[0].get("apiVersion") != API_VERSION:
        raise InvalidInput(
            f"{path}: expected exactly one {KIND} of {API_VERSION}, or a script whose name ends in .js; found "
            f"{len(runs)} {KIND}s among {len(documents)} documents"
        )
    metadata = _mapping(path, runs[0], "metadata")
    try:
        spec = RunSpec.model_validate(runs[0].get("spec") or {})
    except ValidationError as error:
        raise InvalidInput(f"{path}: {error}") from error
    name = str(metadata.get("name") or metadata.get("generateName") or path.stem).rstrip("-")
    namespace = str(metadata.get("namespace") or "default")
    script = spec.script if spec.script is not None else _from_config_map(path, documents, namespace, spec)
    return LocalRun(namespace, name, script, spec.entrypoint, spec.input)


def _from_config_map(path: Path, documents: list[object], namespace: str, spec: RunSpec) -> str:
    """Local mode has no cluster: the ConfigMap must stand in the same file."""
    if spec.script_from is None:
        raise InvalidInput(f"{path}: spec needs exactly one of script and scriptFrom")
    ref = spec.script_from.config_map_key_ref
    for each in documents:
        if isinstance(each, dict) and each.get("kind") == "ConfigMap":
            metadata = _mapping(path, each, "metadata")
            if (metadata.get("name"), metadata.get("namespace") or "default") == (ref.name, namespace):
                script = _mapping(path, each, "data").get(ref.key)
                if isinstance(script, str):
                    return script
    raise InvalidInput(
        f"{path}: spec.scriptFrom names key {ref.key!r} of ConfigMap {namespace}/{ref.name}, which is not in this "
        "file; local mode reads no cluster"
    )


def _mapping(path: Path, document: dict[object, object], key: str) -> dict[object, object]:
    found = document.get(key) or {}
    if not isinstance(found, dict):
        raise InvalidInput(f"{path}: {document.get('kind')}: {key}: expected a mapping, got {found!r}")
    return found
