"""`python -m dev.metrics_doc`: write the table of all metrics into docs/metrics.md, between its markers."""

from pathlib import Path

from workflow_operator.metrics import ALL, Metric, Role

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"

BEGIN = "<!-- begin of the generated metrics: make docs -->"
END = "<!-- end of the generated metrics -->"

_HEAD = """| Metric | Type | Labels | Of | Meaning |
|---|---|---|---|---|
"""


def table() -> str:
    """A row for each metric of our own, in the order in which metrics.py defines them."""
    return _HEAD + "".join(f"| {' | '.join(_cells(metric))} |\n" for metric in ALL)


def page(text: str) -> str:
    """The page with the table between its markers.

    Raises:
        ValueError: it has not both markers, each once and in their order.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end) or BEGIN in tail or END in tail:
        raise ValueError(f"{PAGE.name}: expected {BEGIN!r} and after it {END!r}, each once")
    return f"{head}{begin}\n\n{table()}\n{end}{tail}"


def _cells(metric: Metric) -> list[str]:
    labels = [
        f"`{label}`: {', '.join(map(str, values))}" if values else f"`{label}`"
        for label, values in metric.labels.items()
    ]
    roles = "all" if set(metric.roles) == set(Role) else ", ".join(metric.roles)
    return [f"`{metric.name}`", metric.kind, "; ".join(labels), roles, metric.meaning]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
