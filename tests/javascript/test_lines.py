"""How much scripts may print."""

from __future__ import annotations

from workflow_operator.javascript.host import LogLine
from workflow_operator.javascript.host.lines import ExecutionLines, NamespaceLines


def line(text: str) -> LogLine:
    return LogLine("info", text)


def texts(lines: list[LogLine]) -> list[str]:
    return [each.text for each in lines]


def test_an_execution_prints_up_to_its_bytes_and_says_once_that_it_stops() -> None:
    lines = ExecutionLines(10)
    assert lines.take(line("éé")) == line("éé")
    assert lines.take(line("1234")) == line("1234")
    told = lines.take(line(""))
    assert told is not None
    assert told.text == "more than 10 bytes of log lines: dropped until the next call"
    assert lines.take(line("")) is None
    lines.renew()
    assert lines.take(line("")) == line("")


def test_a_namespace_prints_up_to_its_bytes_in_each_minute() -> None:
    lines = NamespaceLines(10, "SETTING")
    assert texts(lines.take("a", line("1234"), 100.0)) == ["1234"]
    assert texts(lines.take("a", line("1234"), 110.0)) == ["1234"]
    [told] = texts(lines.take("a", line("12"), 120.0))
    assert told.startswith("the runs of namespace a have printed 10 bytes within a minute (SETTING)")
    assert lines.take("a", line(""), 159.0) == []
    assert texts(lines.take("b", line("12"), 159.0)) == ["12"]
    assert texts(lines.take("a", line("12"), 160.0)) == [
        "2 lines (4 bytes) of runs of namespace a were dropped (SETTING)",
        "12",
    ]
    assert texts(lines.take("a", line("12"), 300.0)) == ["12"]


def test_namespaces_that_print_nothing_are_forgotten() -> None:
    lines = NamespaceLines(10, "SETTING")
    for number in range(1000):
        lines.take(f"n{number}", line("1"), float(number))
    assert len(lines._minutes) <= 61
