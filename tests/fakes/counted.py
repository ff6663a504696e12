"""How far the metrics have moved: they belong to the process, and so to every test in it."""

from __future__ import annotations

from typing import Any

from workflow_operator.metrics import ALL


def sample(name: str, **labels: str) -> float:
    """The value of one series now; of a histogram ``..._count`` or ``..._sum``."""
    found = [
        each.value
        for metric in ALL
        for family in metric.collector.collect()
        for each in family.samples
        if each.name == f"workflow_operator_{name}" and each.labels == labels
    ]
    assert len(found) == 1, f"{name} {labels}: {found}"
    return float(found[0])


class Moved:
    """By how much a series has moved since this was made."""

    def __init__(self) -> None:
        self._before = {
            (each.name, tuple(sorted(each.labels.items()))): each.value
            for metric in ALL
            for family in metric.collector.collect()
            for each in family.samples
        }

    def by(self, name: str, **labels: str) -> float:
        return sample(name, **labels) - self._before.get(
            (f"workflow_operator_{name}", tuple(sorted(labels.items()))), 0.0
        )

    def each(self, name: str, label: str) -> dict[Any, float]:
        """All series of a metric that moved, by the value of their only label."""
        values = [
            each.labels[label]
            for metric in ALL
            for family in metric.collector.collect()
            for each in family.samples
            if each.name == f"workflow_operator_{name}"
        ]
        return {value: moved for value in values if (moved := self.by(name, **{label: value}))}
