"""Log lines carry the fields that people search by."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.records import event, new_key, status
from workflow_operator.app import logs
from workflow_operator.app.logs import RunNames, configure_logs, log_script_line
from workflow_operator.history import Origin, StatusValue
from workflow_operator.javascript.host import LogLine

KEY = new_key()
ORIGIN = Origin(cluster="c", name="nightly")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    monkeypatch.setattr(logs.sys, "stderr", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def names(written: io.StringIO) -> RunNames:
    return configure_logs("INFO", {"role": "operator", "replica": "r-1"})


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_about_an_instance_names_it_and_its_run(written: io.StringIO, names: RunNames) -> None:
    names.observe(status(KEY, origin=ORIGIN))
    logging.getLogger("x").warning("instance %s: held up", KEY)
    [line] = lines(written)
    assert line.pop("time")
    assert line == {
        "level": "WARNING",
        "logger": "x",
        "message": f"instance {KEY}: held up",
        "role": "operator",
        "replica": "r-1",
        "namespace": "default",
        "instance": str(KEY.instance_id),
        "run": "nightly",
    }


def test_the_name_of_a_run_that_is_over_is_forgotten(written: io.StringIO, names: RunNames) -> None:
    names.observe(status(KEY, origin=ORIGIN))
    names.observe(status(KEY, origin=ORIGIN, status=StatusValue.COMPLETE))
    logging.getLogger("x").warning("instance %s", KEY)
    assert "run" not in lines(written)[0]


def test_a_line_of_a_script_stays_one_line(written: io.StringIO, names: RunNames) -> None:
    forged = 'a\n{"level": "CRITICAL", "message": "forged"}'
    log_script_line(event(KEY, origin=ORIGIN), LogLine("warn", forged))
    [line] = lines(written)
    assert (line["level"], line["logger"], line["message"]) == ("WARNING", "workflow_operator.script", forged)
    assert (line["run"], line["instance"]) == ("nightly", str(KEY.instance_id))


@pytest.mark.usefixtures("names")
def test_below_the_level_nothing_is_written(written: io.StringIO) -> None:
    logging.getLogger("x").debug("quiet")
    assert lines(written) == []
