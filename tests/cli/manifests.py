"""Manifests that local mode and the API server must judge alike: `test_rules` and `test_rules_e2e` try them."""

import copy
from typing import Any, Final

from workflow_operator.resources.run import MAX_SCRIPT_CHARS

_BASE: Final[dict[str, Any]] = {
    "apiVersion": "workflow-operator.dev/v1alpha1",
    "kind": "WorkflowRun",
    "metadata": {"name": "hello"},
    "spec": {"script": "function main() {}"},
}


def manifest(changes: dict[str, Any]) -> dict[str, Any]:
    """The plain manifest with fields set, by dotted path; a field that is set to ``...`` is taken away."""
    made = copy.deepcopy(_BASE)
    for path, value in changes.items():
        *above, last = path.split(".")
        target = made
        for name in above:
            target = target.setdefault(name, {})
        target.pop(last, None)
        if value is not ...:
            target[last] = copy.deepcopy(value)
    return made


_FROM: Final = {"spec.script": ..., "spec.scriptFrom.configMapKeyRef": {"name": "scripts", "key": "main.js"}}

ACCEPTED: Final[dict[str, dict[str, Any]]] = {
    "a plain run": {},
    "any input": {"spec.input": {"a": [1, 1.5, None, {"b": {}}], "script": 5}},
    "no input": {"spec.input": None},
    "a suspended run": {"spec.suspend": True},
    "an entry that is null": {"spec.entrypoint": None},
    "a source that is null": {"spec.scriptFrom": None},
    "labels that are null": {"metadata.labels": None},
    "an entry": {"spec.entrypoint": "größe_2$"},
    "from a ConfigMap": _FROM,
    "a generated name": {"metadata.name": ..., "metadata.generateName": "nightly-"},
    "a name with dots": {"metadata.name": "a.b-c.1"},
    "the longest name": {"metadata.name": "a" * 253},
    "labels": {"metadata.labels": {"app": "x", "example.com/part-of": "A_b.c-1", "empty": ""}},
    "annotations": {"metadata.annotations": {"note": "any text\nat all"}},
    "the longest script": {"spec.script": "é" * MAX_SCRIPT_CHARS},
    "a status": {"status": {"phase": "Complete", "observedGeneration": 1}},
}
"""By what they are: changes to the plain manifest."""

REFUSED: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "a field of the spec": ({"spec.inputs": {"a": 1}}, 'unknown field "spec.inputs", did you mean "spec.input"?'),
    "a field in another case": (
        {"spec.entryPoint": "go"},
        'unknown field "spec.entryPoint", did you mean "spec.entryp',
    ),
    "a field of other products": ({"spec.parallelism": 1}, 'unknown field "spec.parallelism"'),
    "suspend that is text": ({"spec.suspend": "yes"}, "spec.suspend: expected"),
    "a timeout": ({"spec.timeout": "5m"}, 'unknown field "spec.timeout"'),
    "a field of the object": ({"script": "x"}, 'unknown field "script"'),
    "a field of the metadata": (
        {"metadata.label": {"a": "b"}},
        'unknown field "metadata.label", did you mean "metadata.',
    ),
    "a field of a reference": (
        _FROM | {"spec.scriptFrom.configMapKeyRef.namespace": "other"},
        'unknown field "spec.scriptFrom.configMapKeyRef.namespace"',
    ),
    "a field beside a reference": (
        _FROM | {"spec.scriptFrom.secretKeyRef": {}},
        'unknown field "spec.scriptFrom.secretKeyRef"',
    ),
    "no spec": ({"spec": ...}, "spec is missing"),
    "an empty spec": ({"spec": {}}, "expected exactly one of spec.script and spec.scriptFrom, got neither"),
    "two scripts": (_FROM | {"spec.script": "x"}, "expected exactly one of spec.script and spec.scriptFrom, got both"),
    "a spec that is a list": ({"spec": []}, "spec: expected a mapping, got a list"),
    "no spec at all": ({"spec": None}, "spec is missing"),
    "a script that is a number": ({"spec.script": 5}, "spec.script: expected text, got the number 5; put it in quotes"),
    "a script that is true": ({"spec.script": True}, "spec.script: expected text, got the truth value true; put it in"),
    "a script that is null": (
        {"spec.script": None},
        "expected exactly one of spec.script and spec.scriptFrom, got neither",
    ),
    "an empty script": ({"spec.script": ""}, "spec.script: expected at least 1 character, got 0"),
    "a script too long": (
        {"spec.script": "x" * (MAX_SCRIPT_CHARS + 1)},
        "spec.script: expected at most 65536 characters, got 65537",
    ),
    "an entry that is no name": ({"spec.entrypoint": "a-b"}, "spec.entrypoint: expected the name of a function, got"),
    "an empty entry": ({"spec.entrypoint": ""}, "spec.entrypoint: expected the name of a function, got the text ''"),
    "an entry too long": ({"spec.entrypoint": "a" * 129}, "spec.entrypoint: expected at most 128 characters, got 129"),
    "a reference without key": (
        {"spec.script": ..., "spec.scriptFrom.configMapKeyRef.name": "scripts"},
        "spec.scriptFrom.configMapKeyRef.key is missing",
    ),
    "a reference to nothing": (
        {"spec.script": ..., "spec.scriptFrom": {}},
        "spec.scriptFrom.configMapKeyRef is missing",
    ),
    "a reference by a name that is none": (
        _FROM | {"spec.scriptFrom.configMapKeyRef.name": "Scripts"},
        "spec.scriptFrom.configMapKeyRef.name: expected a name of lower case letters, digits, - and ., got the text",
    ),
    "a reference by a key that is none": (
        _FROM | {"spec.scriptFrom.configMapKeyRef.key": "a/b"},
        "spec.scriptFrom.configMapKeyRef.key: expected a key of letters, digits, -, _ and ., got the text 'a/b'",
    ),
    "no name": ({"metadata.name": ...}, "metadata.name is missing"),
    "an empty name": ({"metadata.name": ""}, "metadata.name is missing"),
    "a name that is a number": (
        {"metadata.name": 5},
        "metadata.name: expected text, got the number 5; put it in quotes",
    ),
    "a name that YAML made false": (
        {"metadata.name": False},
        "got the truth value false; put it in quotes (y, n, yes, no, on and off are truth values to kubectl)",
    ),
    "a name in capitals": ({"metadata.name": "Hello"}, "metadata.name: expected at most 253 lower case letters"),
    "a name with an underscore": ({"metadata.name": "a_b"}, "metadata.name: expected at most 253 lower case letters"),
    "a name that ends in a dash": ({"metadata.name": "a-"}, "metadata.name: expected at most 253 lower case letters"),
    "a name too long": ({"metadata.name": "a" * 254}, "metadata.name: expected at most 253 lower case letters"),
    "a generated name that is none": (
        {"metadata.name": ..., "metadata.generateName": "Nightly-"},
        "metadata.generateName: expected at most 253 lower case letters",
    ),
    "a label that is a number": (
        {"metadata.labels": {"a": 1}},
        "metadata.labels.a: expected text, got the number 1; put it in quotes",
    ),
    "a label that is no label": ({"metadata.labels": {"a b": "c"}}, "metadata.labels: the text 'a b' is no name for a"),
    "a label with a prefix that is none": ({"metadata.labels": {"A/b": "c"}}, "the text 'A/b' is no name for a label"),
    "a label with a blank": ({"metadata.labels": {"a": "b c"}}, "metadata.labels.a: expected at most 63 letters"),
    "a label too long": ({"metadata.labels": {"a": "b" * 64}}, "metadata.labels.a: expected at most 63 letters"),
    "an annotation that is a list": (
        {"metadata.annotations": {"a": []}},
        "metadata.annotations.a: expected text, got a",
    ),
    "labels that are a list": ({"metadata.labels": ["a"]}, "metadata.labels: expected a mapping, got a list"),
}
"""By what is wrong: changes to the plain manifest, and words of what its author is told."""
