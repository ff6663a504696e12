"""What a PromQL expression asks for, held against the metrics that there are."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Matcher, MatchOp, MatrixSelector, VectorSelector

from workflow_operator import metrics

TARGET_LABELS = frozenset({"namespace", "pod", "container"})
"""What a scrape adds."""

SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}
"""The series of a kind of metric, where they are not called as the metric itself."""

Labels = Mapping[str, Collection[str]]
"""The labels of a series, each with its values; no values: any."""


@dataclass(frozen=True)
class Series:
    """A series that can be asked for; ``counts`` says that only its growth means something."""

    labels: Labels
    counts: bool


def known_series() -> dict[str, Series]:
    """Every series of our own metrics, by its name."""
    found: dict[str, Series] = {}
    for metric in metrics.ALL:
        counts = metric.kind in ("counter", "histogram")
        for suffix in SUFFIXES.get(metric.kind, ("",)):
            labels = dict(metric.labels) | ({"le": ()} if suffix == "_bucket" else {})
            found[metric.name + suffix] = Series(labels, counts)
    return found


def faults(expression: str, known: Mapping[str, Series]) -> list[str]:
    """What an expression asks for and nobody has. Raises ValueError when it is no PromQL."""
    checker = _Checker(known)
    promql_parser.walk(promql_parser.parse(expression), checker.enter)
    return [*checker.found, *(f"no label {label} in {expression}" for label in checker.unknown_groups())]


def selectors(expression: str) -> list[VectorSelector]:
    """Every selector of an expression."""
    checker = _Checker({})
    promql_parser.walk(promql_parser.parse(expression), checker.enter)
    return checker.selectors


class _Checker:
    def __init__(self, known: Mapping[str, Series]) -> None:
        self._known = known
        self._ranges: set[str] = set()
        self._groups: set[str] = set()
        self.selectors: list[VectorSelector] = []
        self.found: list[str] = []

    def enter(self, node: object) -> None:
        match node:
            case MatrixSelector(vector_selector=inner):
                # The walk comes to the selector next, as an object of its own.
                self._ranges.add(str(inner))
            case VectorSelector():
                self._select(node)
            case AggregateExpr(modifier=modifier) if modifier is not None:
                self._groups.update(modifier.labels)
            case BinaryExpr(modifier=modifier) if modifier is not None and modifier.matching is not None:
                self._groups.update(modifier.matching.labels)

    def unknown_groups(self) -> list[str]:
        labels = {label for selector in self.selectors for label in self._labels_of(selector)}
        return sorted(self._groups - labels - TARGET_LABELS)

    def _labels_of(self, selector: VectorSelector) -> Labels:
        series = self._known.get(selector.name or "")
        return series.labels if series else {}

    def _select(self, selector: VectorSelector) -> None:
        self.selectors.append(selector)
        series = self._known.get(selector.name or "")
        if series is None:
            self.found.append(f"no metric {selector.name}")
            return
        if series.counts != (str(selector) in self._ranges):
            self.found.append(
                f"{selector.name}: " + ("only its growth means something" if series.counts else "a gauge")
            )
        for matcher in selector.matchers.matchers:
            if matcher.name in TARGET_LABELS:
                continue
            values = series.labels.get(matcher.name)
            if values is None:
                self.found.append(f"{selector.name} has no label {matcher.name}")
            elif values and not any(_picks(matcher, value) for value in values):
                self.found.append(f"{selector.name}: {matcher.name} is never {matcher.value}")


def _picks(matcher: Matcher, value: str) -> bool:
    if matcher.op in (MatchOp.Equal, MatchOp.NotEqual):
        return value == matcher.value
    return re.fullmatch(matcher.value, value) is not None
