"""Proves an installation from the outside: a run is created, watched to its end and deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from workflow_operator.engine import Clock
from workflow_operator.history.errors import NotFound, Unavailable
from workflow_operator.resources.names import API_VERSION, KIND
from workflow_operator.resources.run import FINAL_PHASES, Phase, WorkflowRun

JsonObject = dict[str, Any]

_POLL_SECONDS = 0.5
_EXPECTED = 42

# Two functions, so that a step is recorded, folded and shown, and not only a script evaluated.
_SCRIPT = """\
function main(input) {
  return transition(answer, { half: input.half });
}

function answer(memory) {
  log("installation verified by", id());
  return memory.half * 2;
}
"""


class Cluster(Protocol):
    """The Kubernetes API; see :class:`workflow_operator.cluster.WorkflowRunClient`."""

    async def get(self, namespace: str, name: str) -> JsonObject | None: ...

    async def create(self, namespace: str, run: JsonObject) -> JsonObject: ...

    async def delete(self, namespace: str, name: str) -> None: ...


class VerificationFailed(Exception):
    """The run did not end as it must; the text says what its status was, and where to look."""


async def verify(
    cluster: Cluster, namespace: str, timeout_seconds: float, clock: Clock, say: Callable[[str], None]
) -> None:
    """Have the installation run one small WorkflowRun in ``namespace``; it is deleted again in any case.

    Args:
        say: gets one line for each change of the run's state.

    Raises:
        VerificationFailed: it failed, gave something else, or was not done after ``timeout_seconds``.
        Unavailable, InvalidInput: the API server did not let us; the text says what it said.
    """
    created = await cluster.create(namespace, manifest())
    name = created["metadata"]["name"]
    say(f"{namespace}/{name}: created")
    try:
        run = await _finished(cluster, namespace, name, timeout_seconds, clock, say)
    finally:
        await cluster.delete(namespace, name)
    if (problem := fault(run)) is not None:
        raise VerificationFailed(f"{namespace}/{name}: {problem}")


def manifest() -> JsonObject:
    """The run that is created."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"generateName": "verify-"},
        "spec": {"script": _SCRIPT, "input": {"half": _EXPECTED // 2}},
    }


def state(run: WorkflowRun) -> str:
    """The state of a run in one line: its phase, and why."""
    if run.status.observed_generation < 0:
        return f"{run.status.phase}, not seen by an operator yet"
    told = [f"{condition.reason}: {condition.message}" for condition in run.status.conditions[:1]]
    return ", ".join([run.status.phase, *told])


def fault(run: WorkflowRun) -> str | None:
    """What is wrong with the end of the run; None if nothing."""
    if run.status.phase is not Phase.COMPLETE:
        return f"expected {Phase.COMPLETE}, and it is {state(run)}"
    if run.status.output != _EXPECTED:
        return f"expected the output {_EXPECTED}, and it is {run.status.output!r}"
    return None


async def _finished(
    cluster: Cluster, namespace: str, name: str, timeout_seconds: float, clock: Clock, say: Callable[[str], None]
) -> WorkflowRun:
    end = clock.now() + timedelta(seconds=timeout_seconds)
    said = ""
    while True:
        try:
            found = await cluster.get(namespace, name)
        except Unavailable as error:
            line, run = str(error), None
        else:
            if found is None:
                raise NotFound(f"{namespace}/{name}: somebody deleted the run while it was watched")
            run = WorkflowRun.model_validate(found)
            line = state(run)
        if line != said:
            say(f"{namespace}/{name}: {line}")
            said = line
        if run is not None and run.status.phase in FINAL_PHASES:
            return run
        if clock.now() >= end:
            raise VerificationFailed(
                f"{namespace}/{name}: not finished after {timeout_seconds:g} s; last seen: {line}. "
                "Look at the operators' and projectors' /readyz and logs"
            )
        await clock.sleep(_POLL_SECONDS)
