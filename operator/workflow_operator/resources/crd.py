"""The CustomResourceDefinitions, computed from the types in run.py and signal.py."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from workflow_operator.resources import names, run, signal

JsonObject = dict[str, Any]


def crd() -> JsonObject:
    """The CRD WorkflowRun, as the object that goes to the API server."""
    called = _names(names.KIND, names.PLURAL, names.SINGULAR, names.SHORT_NAME)
    return _definition(called, run.WorkflowRun, _run_columns(), [".status.phase"])


def signal_crd() -> JsonObject:
    """The CRD WorkflowSignal."""
    called = _names(names.SIGNAL_KIND, names.SIGNAL_PLURAL, names.SIGNAL_SINGULAR, names.SIGNAL_SHORT_NAME)
    fields = [".status.phase", ".spec.runRef.name"]
    return _definition(called, signal.WorkflowSignal, _signal_columns(), fields)


def _names(kind: str, plural: str, singular: str, short: str) -> JsonObject:
    return {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": singular,
        "shortNames": [short],
        "categories": [names.CATEGORY],
    }


def _definition(called: JsonObject, model: type[BaseModel], columns: list[JsonObject], fields: list[str]) -> JsonObject:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{called['plural']}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": called,
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": columns,
                    "selectableFields": [{"jsonPath": field} for field in fields],
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": _root_schema(model)},
                }
            ],
        },
    }


def _run_columns() -> list[JsonObject]:
    first_true = '.status.conditions[?(@.status=="True")]'
    return [
        _column("Phase", "string", ".status.phase"),
        _column("Reason", "string", f"{first_true}.reason"),
        _column("Steps", "integer", ".status.steps"),
        # A date column shows an age: of two of them beside a third nobody knows which is which.
        _column("Ended", "date", ".status.completionTime"),
        _column("Age", "date", ".metadata.creationTimestamp"),
        _column("Message", "string", f"{first_true}.message") | {"priority": 1},
        _column("Instance", "string", ".status.instanceID") | {"priority": 1},
    ]


def _signal_columns() -> list[JsonObject]:
    return [
        _column("Run", "string", ".spec.runRef.name"),
        _column("Type", "string", ".spec.type"),
        _column("Phase", "string", ".status.phase"),
        _column("Reason", "string", ".status.conditions[0].reason"),
        _column("Age", "date", ".metadata.creationTimestamp"),
        _column("Sender", "string", ".spec.sender") | {"priority": 1},
        _column("Message", "string", ".status.conditions[0].message") | {"priority": 1},
    ]


def _column(name: str, kind: str, path: str) -> JsonObject:
    return {"name": name, "type": kind, "jsonPath": path}


def _root_schema(model: type[BaseModel]) -> JsonObject:
    schema = structural_schema(model)
    owned_by_the_server: JsonObject = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    return schema | {
        "required": ["spec"],
        "properties": owned_by_the_server
        | {name: child for name, child in schema["properties"].items() if name not in owned_by_the_server},
    }


def structural_schema(model: type[BaseModel]) -> JsonObject:
    """The structural schema of a model, as Kubernetes demands it: no references, no titles, no union with null.

    An optional field is one that is not required; ``nullable`` is only where the model asks for it.
    """
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}))


def _structural(node: JsonObject, definitions: dict[str, JsonObject]) -> JsonObject:
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        return _structural(target | {key: value for key, value in node.items() if key != "$ref"}, definitions)
    if "anyOf" in node:
        (present,) = (option for option in node["anyOf"] if option != {"type": "null"})
        return _structural(present | {key: value for key, value in node.items() if key != "anyOf"}, definitions)
    kept = {key: value for key, value in node.items() if key not in ("$defs", "title")}
    if kept.get("default", ...) in (None, []):
        del kept["default"]
    if "properties" in kept:
        kept["properties"] = {name: _structural(child, definitions) for name, child in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = _structural(kept["items"], definitions)
    return _in_reading_order(kept)


def _in_reading_order(node: JsonObject) -> JsonObject:
    first = ("description", "type", "format", "default", "enum", "required")
    last = ("properties", "items", "x-kubernetes-validations")
    middle = sorted(set(node) - set(first) - set(last))
    return {key: node[key] for key in (*first, *middle, *last) if key in node}
