"""`make demo`: the whole system on this machine, the examples on it, and one operator killed in mid-run.

One run orders at a shop of the demo, which is busy at first, and waits for an approval.

In a terminal it then stays up until Ctrl-C; otherwise it ends by itself. Everything is on 127.0.0.1 and in a
temporary folder, and neither KUBECONFIG nor ~/.kube is read or written.
"""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from dev import tools
from dev.control_plane import ControlPlane, ControlPlaneError
from dev.go_build import BuildError
from dev.shop import Shop
from dev.stack import LEASHED, PROJECT, Process, Stack, StackError, wait_until_well
from workflow_operator.history.errors import WorkflowError

EXAMPLES = PROJECT / "examples"
APPROVAL = EXAMPLES / "approval"
FAILING = "failing"
LONG = "steps"
"""The example whose operator is killed."""

RUNS_DEADLINE = 90.0
"""Seconds for all examples to end; 15 are usual."""
REPLACE_INTERVAL = 1.0
INTERRUPTED = 130


class Demo:
    """One demo, which tells what it does through `say`."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._say = say
        self._directory = directory
        self._control_plane: ControlPlane | None = None
        self._stack: Stack | None = None

    def start(self) -> None:
        """Bring everything up. Raises BuildError, ControlPlaneError, StackError and WorkflowError."""
        binary = tools.control_plane(LocalExample(self._directory / "local", self._say).progress)
        self._say("starting etcd and kube-apiserver")
        self._control_plane = ControlPlane(binary, tools.kubectl(), self._directory / "control-plane")
        self._control_plane.start()
        self._say("starting NATS, 2 projectors and 2 operators, which are the ServiceAccount workflow-operator")
        # The shop is on this machine, where scripts may send nothing otherwise.
        env = {"WORKFLOW_OPERATOR_EGRESS_ALLOW": "127.0.0.1"}
        self._stack = Stack(self._control_plane, self._directory / "stack", env=env)
        self._stack.start()
        self._say("all of them are ready")

    def run_examples(self) -> None:
        """Apply the examples, kill an operator, and show how they ended. Raises StackError when one did not."""
        names = [file.stem for file in sorted(EXAMPLES.glob("*.yaml"))]
        self._show("kubectl", "apply", "-f", "examples/")
        victim = self._kill_the_driver_of(LONG)
        self._say(f"{victim.name} (pid {victim.pid}), which drove the run {LONG}, was ended with kill -9")
        wait_until_well(lambda: self._unfinished(names), RUNS_DEADLINE)
        self._show("kubectl", "get", "workflowruns")
        self._show("kubectl", "describe", "workflowrun", FAILING)
        self._show("workflow-operator", "history", f"default/{LONG}")
        self._say(f"another operator went on where {victim.name} was: the column EXECUTOR tells")
        self._check(names)

    def approve(self) -> None:
        """A run that asks a server, tries again, and waits for somebody. Raises StackError when it does not end."""
        shop = Shop()
        try:
            manifest = yaml.safe_load((APPROVAL / "order.yaml").read_text())
            manifest["spec"]["input"]["shop"] = shop.url
            self._say(f"$ kubectl apply -f examples/approval/order.yaml    # with the shop at {shop.url}")
            self._running.control_plane.kubectl("apply", "-f", "-", input=json.dumps(manifest))
            wait_until_well(lambda: self._reason_is_not("approval", "WaitingForEvent"), RUNS_DEADLINE)
            self._show("kubectl", "get", "workflowruns", "approval", "-o", "wide")
            self._show("kubectl", "apply", "-f", "examples/approval/approve.yaml")
            wait_until_well(lambda: self._unfinished(["approval"]), RUNS_DEADLINE)
            self._show("kubectl", "get", "workflowsignals")
            self._show("workflow-operator", "history", "default/approval")
            self._say(
                f"the shop was asked {len(shop.keys)} times, for one order: {', '.join(map(str, set(shop.keys)))}"
            )
        finally:
            shop.close()

    def _reason_is_not(self, run: str, reason: str) -> str | None:
        conditions = self._statuses().get(run, {}).get("conditions", [])
        reasons = [each["reason"] for each in conditions if each["status"] == "True"]
        return None if reasons[:1] == [reason] else f"the run {run} is {reasons}, not {reason}"

    def stay(self) -> None:
        """Replace replicas that end, as a Deployment would, until interrupted."""
        self._replace_ended()
        self._say(self._what_to_try())
        while True:
            time.sleep(REPLACE_INTERVAL)
            self._replace_ended()

    def stop(self) -> None:
        """End what was started."""
        if self._stack:
            self._stack.stop()
        if self._control_plane:
            self._control_plane.stop()

    def _replace_ended(self) -> None:
        stack = self._running
        for replicas, add in ((stack.operators, stack.add_operator), (stack.projectors, stack.add_projector)):
            for ended in [each for each in replicas if each.exit_code is not None]:
                replicas.remove(ended)
                new = add()
                self._say(f"{ended.name} had ended with {ended.exit_code}; {new.name} (pid {new.pid}) takes its place")

    @property
    def _running(self) -> Stack:
        assert self._stack, "not started"
        return self._stack

    def _kubectl(self, *args: str) -> str:
        return self._running.control_plane.kubectl(*args)

    def _show(self, command: str, *args: str) -> None:
        """A command as one would type it, and what it prints."""
        run = self._kubectl if command == "kubectl" else self._running.workflow_operator
        self._say(f"$ {' '.join([command, *args])}\n{run(*args).rstrip()}")

    def _statuses(self) -> dict[str, dict[str, Any]]:
        found = json.loads(self._kubectl("get", "workflowruns", "-o", "json"))
        return {each["metadata"]["name"]: each["status"] for each in found["items"]}

    def _unfinished(self, names: list[str]) -> str | None:
        statuses = self._statuses()
        open_ones = [name for name in names if "completionTime" not in statuses.get(name, {})]
        return f"these runs have not ended: {', '.join(open_ones)}\n{self._running.tails(5)}" if open_ones else None

    def _check(self, names: list[str]) -> None:
        phases = {name: status["phase"] for name, status in self._statuses().items()}
        expected = {name: "Failed" if name == FAILING else "Complete" for name in names}
        if phases != expected:
            raise StackError(f"the examples ended as {phases}; expected {expected}")

    def _kill_the_driver_of(self, run: str) -> Process:
        """SIGKILL the operator that wrote the last event of a run, once it wrote some."""
        driver: list[Process] = []

        def not_driven() -> str | None:
            try:
                events = json.loads(self._running.workflow_operator("history", f"default/{run}", "-o", "json"))
            except StackError as error:
                return str(error)
            writer = events[-1].get("executor", {}).get("id", "")
            # The default identity of a replica holds its pid.
            driver[:] = [each for each in self._running.operators if f"-{each.pid}-" in writer]
            return None if driver and len(events) > 3 else f"no operator drives {run} yet"

        wait_until_well(not_driven, RUNS_DEADLINE)
        driver[0].kill()
        return driver[0]

    def _what_to_try(self) -> str:
        kubeconfig = self._running.control_plane.kubeconfig
        pid, *others = [each.pid for each in self._running.operators if each.exit_code is None]
        other = "".join(f" or {each}" for each in others)
        return f"""everything is up until Ctrl-C. In another terminal:

    cd {PROJECT}
    export KUBECONFIG={kubeconfig}
    export WORKFLOW_OPERATOR_NATS_URL={self._running.nats.url}
    export PATH={sysconfig.get_path("scripts")}:$PATH

    kubectl get workflowruns --watch
    kubectl delete -f examples/steps.yaml; kubectl apply -f examples/steps.yaml
    kill -9 {pid}     # an operator{other}, in mid-run; the other one goes on, and a new one starts
    workflow-operator history default/steps
    kubectl describe workflowrun approval
    tail -f {self._running.directory}/*.log

There is no controller manager: deleting a namespace never ends here, and Deployments start no pods.
"""


class LocalExample:
    """Runs an example in local mode when the control plane has to be built first, which takes minutes."""

    def __init__(self, state: Path, say: Callable[[str], None]) -> None:
        self._state = state
        self._say = say
        self._begun = False

    def progress(self, line: str) -> None:
        """Tell of the build; its first line starts the example beside it."""
        self._say(line)
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        command = [sys.executable, "-P", str(LEASHED), "run", "examples/order.yaml"]
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, "XDG_STATE_HOME": str(self._state)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        with process:
            assert process.stdout
            shown = process.stdout.read()
        self._say(
            "meanwhile, without a cluster:\n"
            f"$ workflow-operator run examples/order.yaml\n{shown.rstrip()}\nthe build goes on"
        )


def main() -> int:
    """The exit code: 0 when all went well, 1 with the reason printed, 130 when interrupted before all was up."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {text}", flush=True)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    up = False
    with tempfile.TemporaryDirectory(prefix="workflow-operator-demo-", ignore_cleanup_errors=True) as directory:
        demo = Demo(Path(directory), say)
        try:
            demo.start()
            demo.run_examples()
            demo.approve()
            if sys.stdin.isatty() and sys.stdout.isatty():
                up = True
                demo.stay()
            return 0
        except (BuildError, ControlPlaneError, StackError, WorkflowError) as error:
            say(f"the demo failed: {error}")
            return 1
        except KeyboardInterrupt:
            return 0 if up else INTERRUPTED
        finally:
            # A second Ctrl-C must not leave the cleaning half done: it takes seconds.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            say("stopping everything")
            demo.stop()


if __name__ == "__main__":
    sys.exit(main())
