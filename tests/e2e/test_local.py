"""Local mode and the commands, as processes: no API server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from dev import replica
from dev.stack import blocking
from tests.e2e.scripts import QUICK, STEPS, TICKING, sleeper
from tests.e2e.shell import COMMAND, Shell, clean
from tests.e2e.world import assert_sound, connected, drivers, handovers, histories, transitions, until
from tests.fakes.events import plain
from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.engine import EngineLimits
from workflow_operator.history import EventType, InstanceKey, InstanceStatus
from workflow_operator.jetstream import Connection, EmbeddedServer, JetStreamDataBus, JetStreamWorkQueue, ensure

pytestmark = pytest.mark.integration

REPLICA = Path(replica.__file__)
TAKEOVER_SECONDS = 10.0

GREET = """
function main(input) {
  log("hello", input.name);
  return transition(greet, input);
}
function greet(input) { return { greeting: "Hello, " + input.name + "!" } }
function shout(input) { return input.name.toUpperCase() + "!" }
"""


# --- replicas that die -----------------------------------------------------------------------------------------------


class Replica:
    """An executor and projector in a process of its own, logging to a file."""

    def __init__(self, name: str, url: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, REPLICA],
                stdin=subprocess.PIPE,
                stderr=log,
                env={**clean(), "WORKFLOW_OPERATOR_NATS_URL": url, "WORKFLOW_OPERATOR_IDENTITY": name},
            )

    def start(self, key: InstanceKey, script: str) -> None:
        """As an operator starts a run that it sees appear."""
        run = {"namespace": key.namespace, "id": str(key.instance_id), "script": script}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(run).encode() + b"\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        self._process.terminate()
        assert self._process.wait(30) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def lines(self) -> list[str]:
        """What the scripts printed."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        return [line["message"] for line in lines if line["logger"] == "workflow_operator.script"]


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[tuple[str, list[Replica]]]:
    """NATS, and two replicas."""
    server = EmbeddedServer(tmp_path / "nats", sync_always=False)
    blocking(server.start())
    with ExitStack() as stack:
        stack.callback(server.kill)
        both = [Replica(name, server.url, tmp_path) for name in ("first", "second")]
        for replica in both:
            stack.callback(replica.kill)
        yield server.url, both


def test_a_killed_executor_is_replaced(replicas: tuple[str, list[Replica]]) -> None:
    url, both = replicas

    def explain() -> str:
        return "\n".join(f"--- {each.name}\n{each.log.read_text()[-2000:]}" for each in both)

    async def execute(connection: Connection) -> InstanceKey:
        await ensure(connection, Settings(nats_url=url).topology())
        transport = roles.Transport(connection, JetStreamDataBus(connection), JetStreamWorkQueue(connection))
        runner = roles.workflow_runner(transport, EngineLimits())
        return InstanceKey("tests", await runner.execute("tests", TICKING))

    key = connected(url, execute)
    until(lambda: transitions(histories(url, [key])[key]) >= 5, "five steps", explain=explain)
    (victim,) = [each for each in both if each.name == drivers(histories(url, [key])[key])[-1]]
    victim.kill()
    until(lambda: histories(url, [key])[key][-1].terminal, "the run ends", explain=explain)

    history = histories(url, [key])[key]
    assert_sound(history)
    assert (history[-1].type, plain(history[-1].output)) == (EventType.SUCCEEDED, "done")
    assert [plain(event.memory) for event in history if event.type is EventType.TRANSITION] == list(range(1, STEPS + 1))
    (handover,) = handovers(history)
    assert (handover.leaving, handover.first.type) == (victim.name, EventType.CLAIMED)
    assert handover.seconds < TAKEOVER_SECONDS
    unsure = {f"line {plain(handover.last.memory)}"} if handover.last.type is EventType.TRANSITION else set()
    lines = Counter(line for each in both for line in each.lines())
    assert set(lines) == {f"line {number}" for number in range(1, STEPS + 1)}
    assert {line for line, count in lines.items() if count > 1} <= unsure


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_a_replica_drove_where_it_started_goes_on_in_another(
    replicas: tuple[str, list[Replica]], how: str
) -> None:
    url, (first, second) = replicas
    keys = [InstanceKey(f"team-{number}", uuid4()) for number in range(4)]

    def explain() -> str:
        return "\n".join(f"--- {each.name}\n{each.log.read_text()[-2000:]}" for each in (first, second))

    async def prepare(connection: Connection) -> None:
        await ensure(connection, Settings(nats_url=url).topology())

    connected(url, prepare)
    for key in keys:
        first.start(key, TICKING)
    until(lambda: all(transitions(each) >= 3 for each in histories(url, keys).values()), "three steps", explain=explain)
    assert {name for each in histories(url, keys).values() for name in drivers(each)} == {first.name}
    assert all(each[0].executor is not None for each in histories(url, keys).values()), "none was queued"
    {"stop": first.stop, "kill": first.kill}[how]()
    until(lambda: all(each[-1].terminal for each in histories(url, keys).values()), "all have ended", explain=explain)

    for history in histories(url, keys).values():
        assert_sound(history)
        assert (history[-1].type, plain(history[-1].output)) == (EventType.SUCCEEDED, "done")
        assert transitions(history) == STEPS
        (handover,) = handovers(history)
        assert (handover.leaving, handover.first.type) == (first.name, EventType.CLAIMED)
        assert handover.first.predecessor == {"stop": "handOver", "kill": "silence"}[how]
        assert handover.seconds < TAKEOVER_SECONDS

    async def status(connection: Connection) -> InstanceStatus | None:
        return (await JetStreamDataBus(connection).query_statuses([key])).get(key)

    def complete() -> bool:
        found = connected(url, status)
        return found is not None and found.history_sequence == history[-1].sequence

    until(complete, "the remaining projector folds it", explain=explain)


# Its first sleep stays in its sandbox, the second one parks.
SLOW = "function main() { sleep(3); sleep(60) }"


# --- commands --------------------------------------------------------------------------------------------------------


def test_a_run_prints_its_output_and_tells_of_its_steps(shell: Shell) -> None:
    output, told = shell("run", shell.manifest("hello", script=GREET, input={"name": "world"}))
    assert json.loads(output) == {"greeting": "Hello, world!"}
    assert "info: hello world" in told
    assert [word for word in ("started", "transition", "succeeded") if word not in told] == []


def test_json_is_exactly_one_document(shell: Shell) -> None:
    output, told = shell("run", shell.manifest("hello", script=GREET, input={"name": "world"}), "-o", "json")
    status = json.loads(output)
    assert (status["status"], status["output"], status["steps"]) == ("complete", {"greeting": "Hello, world!"}, 1)
    assert told == "hello world\n"


def test_a_script_file_with_input_and_entrypoint(shell: Shell) -> None:
    file = shell.file("greet.js", GREET)
    output, _ = shell("run", file, "--input", '{"name": "you"}', "--entrypoint", "shout")
    assert json.loads(output) == "YOU!"


def test_the_input_may_be_a_file(shell: Shell) -> None:
    file = shell.file("greet.js", GREET)
    shell.file("input.yaml", "# who\nname: you\n")
    shell.file("input.json", '{"name": "you"}')
    for given in ("@input.yaml", "@input.json"):
        assert json.loads(shell("run", file, "--input", given)[0]) == {"greeting": "Hello, you!"}


def test_an_error_in_a_manifest_is_shown_at_its_line_of_the_file(shell: Shell) -> None:
    file = shell.file("bad.yaml", f"{HEAD}spec:\n  script: |\n    function main() {{\n      oops();\n    }}\n")
    _, told = shell("run", file, code=1)
    assert "failed          ReferenceError: oops is not defined (line 2, column 3)" in told
    assert "\nbad.yaml:7:\n      oops();\n      ^\n" in told


def test_options_go_before_the_manifest(shell: Shell) -> None:
    file = shell.manifest("hello", script=GREET, input={"name": "world"}, entrypoint="main")
    assert json.loads(shell("run", file, "--input", '{"name": "you"}')[0]) == {"greeting": "Hello, you!"}
    assert json.loads(shell("run", file, "--entrypoint", "shout")[0]) == "WORLD!"


def test_a_failed_run_exits_with_1(shell: Shell) -> None:
    file = shell.file("bad.js", "function main() {\n  throw new TypeError('bad')\n}")
    output, told = shell("run", file, code=1)
    assert output == ""
    assert "failed          TypeError: bad (line 2, column 9)" in told
    assert "\nbad.js:2:\n      throw new TypeError('bad')\n            ^\n" in told
    output, _ = shell("run", file, "-o", "json", code=1)
    status = json.loads(output)
    assert status["status"] == "failed"
    stack = "    at main (workflow.js:2:9)"
    assert status["error"] == {"name": "TypeError", "message": "bad", "line": 2, "column": 9, "stack": stack}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cancels_the_run(shell: Shell, number: signal.Signals) -> None:
    process = shell.start("run", shell.manifest("long", script=sleeper(4)))
    assert process.stderr
    told = ""
    while "timerStarted" not in told:
        line = process.stderr.readline()
        assert line, f"ended early: {told}"
        told += line
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, ""), errors
    assert "cancelled       interrupted" in errors
    assert "Traceback" not in errors
    events = json.loads(shell("history", "default/long", "-o", "json")[0])
    assert [event["type"] for event in events[-2:]] == ["cancelRequested", "cancelled"]
    assert json.loads(shell("status", "default/long", "-o", "json")[0])["status"] == "cancelled"


def started(shell: Shell, script: str) -> subprocess.Popen[str]:
    """A run that has recorded its first timer."""
    process = shell.start("run", shell.file("slow.js", script))
    read_until(process, "timerStarted")
    return process


def read_until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stderr
    told = ""
    while word not in told:
        line = process.stderr.readline()
        assert line, f"ended early: {told}"
        told += line


def ended(process: subprocess.Popen[str], seconds: float) -> str:
    """What else it says on standard error until it ends."""
    return process.communicate(timeout=seconds)[1]


def test_an_interrupted_run_that_cannot_end_is_left_after_a_deadline(shell: Shell) -> None:
    shell.env["WORKFLOW_OPERATOR_SHUTDOWN_SECONDS"] = "1"
    process = started(shell, SLOW)
    (ports,) = shell.runs.glob("*/nats/*.ports")
    os.kill(int(ports.stem.rpartition("_")[2]), signal.SIGSTOP)
    process.terminate()
    errors = ended(process, 40)
    assert process.returncode == 2, errors
    assert "interrupted, and did not end within 1 s" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_run_at_once(shell: Shell, number: signal.Signals) -> None:
    process = started(shell, SLOW)
    process.terminate()
    read_until(process, "cancelRequested")
    process.send_signal(number)
    errors = ended(process, 20)
    assert process.returncode == -number, errors


def test_a_run_that_is_going_can_be_looked_at(shell: Shell) -> None:
    going = started(shell, SLOW)
    (folder,) = shell.runs.iterdir()
    looked = json.loads(shell("status", folder.name, "-o", "json")[0])
    assert looked["status"] == "pending"
    assert "timerStarted" in shell("history", folder.name)[0]
    assert len(list(folder.glob("nats/*.ports"))) == 1, "a second server on the same store"
    going.terminate()
    errors = ended(going, 30)
    assert going.returncode == 1, errors
    assert json.loads(shell("status", folder.name, "-o", "json")[0])["status"] == "cancelled"


def test_a_setting_that_cannot_be_is_named(shell: Shell) -> None:
    shell.env["WORKFLOW_OPERATOR_EXECUTOR_SLOTS"] = "none"
    _, told = shell("run", shell.file("quick.js", QUICK), code=2)
    assert "WORKFLOW_OPERATOR_EXECUTOR_SLOTS: Expected `int`" in told
    assert "Traceback" not in told


def test_only_ended_runs_are_pruned(shell: Shell) -> None:
    killed = started(shell, SLOW)
    killed.kill()
    ended(killed, 20)
    (dead,) = shell.runs.iterdir()
    going = started(shell, SLOW)
    (held,) = set(shell.runs.iterdir()) - {dead}
    for number in range(60):
        (shell.runs / str(number)).mkdir()
    shell("run", shell.file("quick.js", QUICK))
    assert (held.exists(), dead.exists()) == (True, False)
    assert len(list(shell.runs.iterdir())) == 51  # the held one, and the fifty newest
    going.terminate()
    errors = ended(going, 30)
    assert (going.returncode, "cancelled       interrupted" in errors) == (1, True), errors


def test_a_refused_run_does_not_hide_the_last_good_one(shell: Shell) -> None:
    file = shell.file("quick.js", QUICK)
    good = json.loads(shell("run", file, "-o", "json")[0])["instanceID"]
    _, told = shell("run", file, "--input", "[" * 150 + "]" * 150, code=2)
    assert "nested" in told
    assert json.loads(shell("status", "default/quick", "-o", "json")[0])["instanceID"] == good
    assert [folder.name for folder in shell.runs.iterdir()] == [good]


@pytest.mark.parametrize("words", [("run", "quick.js"), ("status", "default/quick")])
def test_a_state_folder_that_cannot_be_written_is_named(shell: Shell, words: tuple[str, str]) -> None:
    shell("run", shell.file("quick.js", QUICK))
    # A file in the way stops even a superuser.
    if words[0] == "run":
        shutil.rmtree(shell.runs)
        shell.runs.write_text("")
    else:
        (folder,) = shell.runs.iterdir()
        shutil.rmtree(folder / "nats")
        (folder / "nats").write_text("")
    output, told = shell(*words, code=2)
    assert output == ""
    assert f"{shell.runs}" in told
    assert "set XDG_STATE_HOME" in told
    assert "Traceback" not in told


READERS: dict[str, Callable[[str], Any]] = {"json": json.loads, "yaml": yaml.safe_load}


def test_history_and_status_of_earlier_runs(shell: Shell) -> None:
    file = shell.file("quick.js", QUICK)
    first = json.loads(shell("run", file, "-o", "json")[0])["instanceID"]
    second = json.loads(shell("run", file, "-o", "json")[0])["instanceID"]
    assert first != second
    for form, read in READERS.items():
        events = read(shell("history", first, "-o", form)[0])
        assert [event["type"] for event in events] == ["started", "succeeded"]
        assert {event["instanceID"] for event in events} == {first}
        assert [event["sequence"] for event in events] == [1, 2]
        status = read(shell("status", "default/quick", "-o", form)[0])
        assert (status["instanceID"], status["output"], status["historySequence"]) == (second, "quick", 2)
    header, started, succeeded = shell("history", "default/quick")[0].splitlines()
    assert header.split() == ["SEQ", "TIME", "EVENT", "CALL", "DETAIL", "EXECUTOR"]
    assert started.split()[2] == "started"
    assert succeeded.split()[2:4] == ["succeeded", '"quick"']
    header, row = shell("status", first)[0].splitlines()
    assert header.split() == ["NAMESPACE", "NAME", "PHASE", "REASON", "STEPS", "STARTED", "ENDED", "INSTANCE"]
    assert row.split()[:5] == ["default", "quick", "Complete", "Succeeded", "0"]
    assert row.split()[-1] == first
    value, told = shell("output", "-n", "default", "quick")
    assert json.loads(value) == "quick"
    assert told.startswith("local run default/quick of 20")
    assert second in told


def test_a_value_that_is_not_there_is_told(shell: Shell) -> None:
    shell("run", shell.file("quick.js", QUICK))
    _, told = shell("output", "default/quick", "--memory", code=2)
    assert "instance default/quick: has no memory; it is Complete (Succeeded)" in told


HEAD = "apiVersion: workflow-operator.dev/v1alpha1\nkind: WorkflowRun\nmetadata: {name: typo}\n"


def test_no_address_space_for_v8_is_told_in_a_sentence(shell: Shell) -> None:
    shell.file("quick.js", QUICK)
    limited = ["sh", "-c", 'ulimit -v 20000000; exec "$0" run quick.js', COMMAND]
    done = subprocess.run(
        limited, cwd=shell.folder, env=shell.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    head, error = done.stderr.splitlines()
    assert head.startswith("instance default/quick ")
    assert error.startswith("Error: V8 did not start: it reserves about 1.5 TB of address space")
    assert "this process may have 20480000000 bytes" in error


REFUSED = [
    (["run", "none.yaml"], "none.yaml: cannot be read: [Errno 2] No such file or directory"),
    (["run", "quick.js", "--input", "{"], "--input '{': expected JSON"),
    (["run", "quick.js", "--input", "[" * 3000], "expected JSON, or @FILE: nested deeper than 200 levels"),
    (["run", "quick.js", "--input", "@none.json"], "--input @none.json: cannot be read: [Errno 2] No such file"),
    (
        ["run", "quick.js", "--input", "@broken.yaml"],
        "--input @broken.yaml: cannot be read: line 2, column 1: not YAML",
    ),
    (["run", "broken.yaml"], "broken.yaml: line 2, column 1: not YAML"),
    (["run", "typo.yaml"], 'unknown field "spec.inputs", did you mean "spec.input"? (line 5)'),
    (["history", "quick"], "'quick': expected NAMESPACE/NAME, as default/quick, or an instance ID"),
    (["status", "default/quick", "--local"], "instance default/quick: not among the local runs"),
    (["run", "other.yaml"], "other.yaml: expected exactly one WorkflowRun of workflow-operator.dev/v1alpha1"),
    (["run", "empty.yaml"], "expected exactly one of spec.script and spec.scriptFrom, got neither"),
    (["run", "typed.ts"], "typed.ts: TypeScript is not available in this version"),
    (["run", "empty.js"], "the script has 0 characters; expected 1 to 65536"),
    (["run"], "Missing argument 'FILE'"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words)[:40] for words, _ in REFUSED])
def test_what_cannot_be_run_is_refused(shell: Shell, words: list[str], message: str) -> None:
    shell.file("quick.js", QUICK)
    shell.file("empty.js", "")
    shell.file("broken.yaml", "a: [")
    shell.file("other.yaml", "kind: ConfigMap")
    shell.file("typed.ts", QUICK)
    shell.file("typo.yaml", f"{HEAD}spec:\n  inputs: 1\n")
    shell.manifest("empty", input=1)
    output, told = shell(*words, code=2)
    assert output == ""
    assert message in " ".join(told.split())
    assert "Traceback" not in told
