"""What the API server checks of a WorkflowRun before it takes it, in words for its author. Pure.

The types and lengths come from the schema of the CRD itself; the rest are the rules for names and labels that hold for
every object.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from workflow_operator import resources

JsonObject = dict[str, Any]

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_MAX_NAME: Final = 253
_MAX_LABEL: Final = 63
_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "object", "additionalProperties": _TEXT}
_ANY: Final = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}
_METADATA: Final[JsonObject] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("name", "generateName", "namespace"), _TEXT),
        **dict.fromkeys(("labels", "annotations"), _TEXTS),
        **dict.fromkeys(
            (
                *("creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generation"),
                *("managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"),
            ),
            _ANY,
        ),
    },
}
_KINDS: Final = {str: "the text", bool: "the truth value", int: "the number", float: "the number"}
_WANTED: Final = {
    "string": "text",
    "object": "a mapping",
    "integer": "a whole number",
    "array": "a list",
    "boolean": "true or false",
}
_PATTERNS: Final = {
    "entrypoint": "the name of a function",
    "name": "a name of lower case letters, digits, - and .",
    "key": "a key of letters, digits, -, _ and .",
}
_SHOWN_CHARACTERS: Final = 40


def problems(run: JsonObject, lines: Mapping[tuple[str, ...], int]) -> list[str]:
    """Why the API server would refuse this run; empty if it would not.

    Args:
        lines: the line of the file at which a field stands, by its path.
    """
    given = _without_nulls(_schema(), run)
    found = [*_schema_problems(_schema(), given, ())]
    if not found:
        found = [*_name_problems(given["metadata"]), *_spec_problems(given["spec"])]
    return [text + (f" (line {lines[path]})" if path in lines else "") for path, text in found]


Problem = tuple[tuple[str, ...], str]


@cache
def _schema() -> JsonObject:
    spec = json.loads((Path(resources.__path__[0]) / "spec.schema.json").read_bytes())
    fields = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _METADATA, "spec": spec, "status": _ANY}
    return {"type": "object", "properties": fields, "required": ["metadata", "spec"]}


def _without_nulls(schema: JsonObject, value: Any) -> Any:
    """The API server drops a field that is null, unless null is one of its values."""
    if not isinstance(value, dict):
        return value
    fields = schema.get("properties", {})
    return {
        name: _without_nulls(fields.get(name, {}), inner)
        for name, inner in value.items()
        if inner is not None or name not in fields or fields[name].get("nullable")
    }


def _schema_problems(schema: JsonObject, value: object, path: tuple[str, ...]) -> Iterator[Problem]:
    if schema.get("nullable") and value is None:
        return
    wanted = schema.get("type")
    if wanted is not None and not _is(wanted, value):
        yield path, f"{_dotted(path)}: expected {_WANTED[wanted]}, got {_shown(value)}{_quotes(wanted, value)}"
        return
    if not isinstance(value, dict) or "x-kubernetes-preserve-unknown-fields" in schema:
        return
    fields, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, inner in value.items():
        if (inner_schema := fields.get(name, others)) is None:
            yield (*path, name), f'unknown field "{_dotted((*path, name))}"{_meant(name, path, fields)}'
        else:
            yield from _schema_problems(inner_schema, inner, (*path, name))
    for name in schema.get("required", []):
        if name not in value:
            yield path, f"{_dotted((*path, name))} is missing"


def _spec_problems(spec: JsonObject) -> Iterator[Problem]:
    if ("script" in spec) == ("scriptFrom" in spec):
        have = "both" if "script" in spec else "neither"
        yield ("spec",), f"expected exactly one of spec.script and spec.scriptFrom, got {have}"
    yield from _text_problems(_schema()["properties"]["spec"], spec, ("spec",))


def _text_problems(schema: JsonObject, value: object, path: tuple[str, ...]) -> Iterator[Problem]:
    """What is wrong with the texts in a value whose types are right: too long, too short, or of other characters."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _text_problems(schema.get("properties", {}).get(name, {}), inner, (*path, name))
    if not isinstance(value, str):
        return
    if len(value) > (most := schema.get("maxLength", len(value))):
        yield path, f"{_dotted(path)}: expected at most {most} characters, got {len(value)}"
    elif len(value) < schema.get("minLength", 0):
        yield path, f"{_dotted(path)}: expected at least {schema['minLength']} character, got {len(value)}"
    elif "pattern" in schema and not _matches(schema["pattern"], value):
        yield path, f"{_dotted(path)}: expected {_PATTERNS[path[-1]]}, got {_shown(value)}"


def _matches(pattern: str, text: str) -> bool:
    r"""As the API server matches. Python knows no ``\p{L}`` and ``\p{N}``: for these one letter stands for every
    letter, and one digit for every number."""
    if r"\p{" in pattern:
        pattern = pattern.replace(r"\p{L}", "a").replace(r"\p{N}", "0")
        text = "".join({"L": "a", "N": "0"}.get(unicodedata.category(each)[0], each) for each in text)
    return re.fullmatch(pattern, text) is not None


def _name_problems(metadata: JsonObject) -> Iterator[Problem]:
    name, generated = metadata.get("name"), metadata.get("generateName")
    if not name and not generated:
        yield ("metadata",), "metadata.name is missing"
    # The API server makes a name of generateName and five characters more.
    for field, value in (("name", name), ("generateName", (generated or "") and f"{generated}00000")):
        if value and (len(value) > _MAX_NAME or not _SUBDOMAIN.fullmatch(value)):
            yield (
                ("metadata", field),
                f"metadata.{field}: expected at most {_MAX_NAME} lower case letters, digits, - and ., the first and "
                f"last of them a letter or digit; got {_shown(metadata[field])}",
            )
    namespace = metadata.get("namespace") or "default"
    if len(namespace) > _MAX_LABEL or not _LABEL.fullmatch(namespace):
        yield (
            ("metadata", "namespace"),
            f"metadata.namespace: expected at most {_MAX_LABEL} lower case letters, digits and -, the first and last "
            f"of them a letter or digit; got {_shown(namespace)}",
        )
    for label, value in metadata.get("labels", {}).items():
        prefix, slash, short = label.rpartition("/")
        named = 0 < len(short) <= _MAX_LABEL and _LABEL_VALUE.fullmatch(short)
        if not named or (slash and not (len(prefix) <= _MAX_NAME and _SUBDOMAIN.fullmatch(prefix))):
            yield ("metadata", "labels", label), f"metadata.labels: {_shown(label)} is no name for a label"
        if not _LABEL_VALUE.fullmatch(value):
            yield (
                ("metadata", "labels", label),
                f"metadata.labels.{label}: expected at most {_MAX_LABEL} letters, digits, -, _ and ., the first and "
                f"last of them a letter or digit; got {_shown(value)}",
            )


def _is(wanted: str, value: object) -> bool:
    if wanted == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "object": dict, "array": list, "boolean": bool}[wanted])


def _shown(value: object) -> str:
    """A value for a message, and what kind of value it is."""
    if value is None:
        return "null"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    return f"{_KINDS[type(value)]} {text!r}" if isinstance(value, str) else f"{_KINDS[type(value)]} {text}"


def _quotes(wanted: str, value: object) -> str:
    """How a word is written that is to be text, and that YAML takes for something else."""
    if wanted != "string" or not isinstance(value, bool | int | float):
        return ""
    words = " (y, n, yes, no, on and off are truth values to kubectl)" if isinstance(value, bool) else ""
    return f"; put it in quotes{words}"


def _meant(name: str, path: tuple[str, ...], fields: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name.lower(), [field.lower() for field in fields], n=1, cutoff=0.7)
    meant = next((field for field in fields if close and field.lower() == close[0]), None)
    return f', did you mean "{_dotted((*path, meant))}"?' if meant else ""


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(path) or "the object"
