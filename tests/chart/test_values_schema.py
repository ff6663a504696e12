"""The schema of the values refuses what it does not know, at every level, and says where."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from dev.chart import CHART
from tests.chart.conftest import Render
from tests.chart.rendering import RenderingFailed
from tests.chart.scenarios import SCENARIOS

SCHEMA = jsonschema.Draft202012Validator(json.loads((CHART / "values.schema.json").read_text()))
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
TYPO = "typo"

# A valid one of each list's items, so that typos in them are tried too.
ITEMS: dict[str, Any] = {
    "imagePullSecrets": {"name": "x"},
    "tolerations": {"key": "x"},
    "extraEnv": {"name": "X"},
}
# Keys here are the user's own.
FREE = {
    "global", "commonLabels", "commonAnnotations", "annotations", "labels", "nodeSelector", "podAnnotations",
    "podLabels",
}  # fmt: skip


def filled(value: Any, name: str = "") -> Any:
    """The defaults, with one item in each list of objects."""
    if isinstance(value, dict):
        return {key: filled(child, key) for key, child in value.items()}
    return [ITEMS[name]] if name in ITEMS else value


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all objects whose keys are the chart's."""
    if isinstance(value, dict) and not (path and path[-1] in FREE) and "monitoringFrom" not in path:
        yield path
        for key, child in value.items():
            yield from objects(child, (*path, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from objects(item, (*path, index))


def with_typo(path: tuple[str | int, ...]) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(filled(DEFAULTS)))
    place: Any = values
    for part in path:
        place = place[part]
    place[TYPO] = "x"
    return values


PATHS = list(objects(filled(DEFAULTS)))


def test_the_schema_is_one_and_takes_defaults_and_scenarios() -> None:
    SCHEMA.check_schema(SCHEMA.schema)
    SCHEMA.validate(filled(DEFAULTS))
    for values in SCENARIOS.values():
        SCHEMA.validate(values)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)) or "root")
def test_an_unknown_key_is_refused_at_every_level(path: tuple[str | int, ...]) -> None:
    with pytest.raises(jsonschema.ValidationError, match=TYPO):
        SCHEMA.validate(with_typo(path))


@pytest.mark.integration
def test_helm_names_the_place_of_every_unknown_key(render: Render) -> None:
    values: dict[str, Any] = filled(DEFAULTS)
    wanted = []
    for path in PATHS:
        place: Any = values
        for part in path:
            place = place[part]
        place[TYPO] = "x"
        wanted.append("at '" + "".join(f"/{part}" for part in path) + f"': additional properties '{TYPO}' not allowed")
    with pytest.raises(RenderingFailed) as raised:
        render(values)
    assert len(wanted) > 40
    assert [each for each in wanted if each not in str(raised.value)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("operator.replicas", -1),
        ("operator.replicas", "2"),
        ("operator.replicas", 1.5),
        ("nats.bundled.replicas", 2),
        ("nats.streamReplicas", 2),
        ("nats.url", "http://nats:4222"),
        ("nats.url", "nats.example.com"),
        ("nats.auth.method", "token"),
        ("nats.bundled.storage.size", "1.5Gi"),
        ("nats.bundled.storage.size", "10"),
        ("image.pullPolicy", "Sometimes"),
        ("image.repository", ""),
        ("image.digest", "sha256:abc"),
        ("watchNamespaces", ["Team"]),
        ("watchNamespaces", ["a", "a"]),
        ("operator.resources.requests.cpu", "half"),
        ("operator.resources.requests.gpus", 1),
        ("operator.pdb.maxUnavailable", "all"),
        ("operator.pdb.maxUnavailable", 0),
        ("settings.executorSlots", 0),
        ("metrics.podMonitor.interval", "often"),
        ("fullnameOverride", "A_b"),
        ("fullnameOverride", "a" * 47),
    ],
)
def test_a_value_out_of_bounds_is_refused(path: str, value: Any) -> None:
    given: Any = value
    for part in reversed(path.split(".")):
        given = {part: given}
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(given)
