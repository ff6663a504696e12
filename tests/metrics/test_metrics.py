"""What the metrics are called, who shows them, and that no label can be filled by a user."""

import re

import pytest

from workflow_operator import metrics
from workflow_operator.history import errors
from workflow_operator.metrics import ALL, Metric, Role
from workflow_operator.resources.run import Phase

UNITS = {"histogram": "_seconds", "counter": "_total", "info": "_info"}


def subclasses(of: type) -> set[type]:
    return {of, *(each for child in of.__subclasses__() for each in subclasses(child))}


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_names_follow_the_convention(metric: Metric) -> None:
    assert re.fullmatch(r"workflow_operator_[a-z_]+", metric.name)
    assert metric.name.endswith(UNITS.get(metric.kind, ""))
    assert metric.meaning.endswith((".", "label."))
    assert metric.roles


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("accept", "kind"), [("", "text/plain"), ("application/openmetrics-text", "application/open")])
def test_each_role_shows_its_own_and_its_process(role: Role, accept: str, kind: str) -> None:
    body, content_type = metrics.exposition(metrics.registry(role), accept)
    assert content_type.startswith(kind)
    shown = set(re.findall(r"^# TYPE (\S+)", body.decode(), re.MULTILINE))
    stems = {name.removesuffix("_total").removesuffix("_info") for name in shown}
    expected = {m.name.removesuffix("_total").removesuffix("_info") for m in ALL if role in m.roles}
    assert {name for name in stems if name.startswith("workflow_operator_")} == expected
    assert "process_resident_memory_bytes" in shown
    assert not any(name.endswith("_created") for name in shown)


@pytest.mark.parametrize("metric", [m for m in ALL if len(m.labels) == 1 and all(m.labels.values())], ids=str)
def test_few_label_values_are_there_from_the_start(metric: Metric) -> None:
    (label,) = metric.labels
    (family,) = metric.collector.collect()
    assert {sample.labels[label] for sample in family.samples} == set(metric.labels[label])


def test_the_running_release_is_a_label() -> None:
    body, _ = metrics.exposition(metrics.registry(Role.PROJECTOR), "")
    assert re.search(rb'^workflow_operator_build_info\{version="\d+\.\d+\.\d+[^"]*"\} 1\.0$', body, re.MULTILINE)


def labels_of(name: str) -> dict[str, set[str]]:
    (metric,) = [metric for metric in ALL if metric.name == name]
    return {label: set(values) for label, values in metric.labels.items()}


def test_phases_are_those_of_the_object() -> None:
    assert labels_of("workflow_operator_runs") == {"phase": set(Phase)}


def test_reasons_of_a_kill_are_error_classes_and_no_text_of_a_script() -> None:
    ends = subclasses(errors.ScriptError) - {errors.ScriptError, errors.Thrown}
    assert labels_of("workflow_operator_sandbox_kills_total") == {"reason": {each.__name__ for each in ends}}
