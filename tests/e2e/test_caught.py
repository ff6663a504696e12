"""A retry in local mode: its history tells which attempts threw."""

from __future__ import annotations

import json

import pytest

from tests.e2e.shell import Shell

pytestmark = pytest.mark.integration

RETRIES = """
function main() {
  for (let attempt = 1; ; attempt++) {
    try { return transition(book, { attempt }); } catch (error) { sleep(1); }
  }
}
function book(memory) {
  if (memory.attempt < 3) throw new Error("busy");
  return transition(paid, memory.attempt);
}
function paid(attempt) { return attempt }
"""


def test_the_history_of_a_retry_tells_which_attempts_threw(shell: Shell) -> None:
    _, told = shell("run", shell.file("retry.js", RETRIES))
    events = json.loads(shell("history", "default/retry", "-o", "json")[0])
    caught = {"steps": [{"function": "book"}]}
    assert [(event["type"], event.get("caught")) for event in events if "call" in event] == [
        ("transition", None),
        ("timerStarted", caught),
        ("timerFired", None),
        ("transition", None),
        ("timerStarted", caught),
        ("timerFired", None),
        ("transition", None),
        ("transition", None),
    ]
    table, _ = shell("history", "default/retry")
    assert [shown.count("; caught before: book threw") for shown in (table, told)] == [2, 2]
