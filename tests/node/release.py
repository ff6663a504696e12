"""A release of the chart on a node, and what the tests ask of it and of its runs."""

from __future__ import annotations

import json
import secrets
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from dev.node.choose import Cluster
from dev.node.node import NodeError
from tests.e2e.world import FINAL, History, JsonObject, key_of, listed, until
from tests.fixtures.workflowruns import manifest
from workflow_operator.history import InstanceKey
from workflow_operator.history.events import decode_event

T = TypeVar("T")

PROJECT = Path(__file__).parents[2]
CHART = PROJECT / "charts" / "workflow-operator"
LINES, LINE = 25, 400
"""Lines of each command's output that a failed test shows, and characters of each."""
NAME = "workflow-operator"
PREVIOUS_TAG = "previous"
PYTHON = "/opt/workflow-operator/bin/python3"
"""The interpreter in the image."""

LABEL = "app.kubernetes.io/instance"
TIMEOUT = "180s"

# Prints for each line of its input, `namespace instance`, the history: sequence, previous, place and event of each.
_READ_HISTORIES = """
import asyncio, sys
from base64 import b64encode
from uuid import UUID
from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.history import InstanceKey

async def main():
    async with roles.transport(Settings(), "cli") as transport:
        for namespace, instance in KEYS:
            for event in await transport.bus.query_history(InstanceKey(namespace, UUID(instance))):
                where = event.sequence, event.previous, event.place
                print(namespace, instance, *where, b64encode(event.to_json()).decode())

asyncio.run(main())
"""


class Release:
    """A release in `namespace`, and runs in the namespace `team`; both get restricted Pod Security.

    All releases have one name: the CRDs, which stay, belong to a name and a namespace, and let no other release in.
    """

    def __init__(self, node: Cluster, chart: Path, namespace: str, team: str) -> None:
        self.node = node
        self.chart = chart
        self.name = NAME
        self.namespace = namespace
        self.team = team
        for each in {namespace, team}:
            make_namespace(node, each)

    # --- the release -----------------------------------------------------------------------------------------------

    def install(self, *options: str, chart: Path | None = None) -> None:
        """`helm upgrade --install` with `options`, until all is ready; what is not said is by default again."""
        self.helm(
            "upgrade",
            "--install",
            "--reset-values",
            self.name,
            str(chart or self.chart),
            "--wait",
            f"--timeout={TIMEOUT}",
            *options,
        )

    def uninstall(self, *options: str) -> None:
        """`helm uninstall` with `options`, until all is gone."""
        self.helm("uninstall", self.name, "--wait", f"--timeout={TIMEOUT}", *options)

    def helm(self, *args: str) -> str:
        return self.node.helm(*args, f"--namespace={self.namespace}")

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        """kubectl in the release's namespace."""
        return self.node.kubectl(f"--namespace={self.namespace}", *args, input=input)

    def pods(self, component: str = "") -> list[JsonObject]:
        """The pods that are not ending, of one component or all."""
        selector = f"{LABEL}={self.name}" + (f",app.kubernetes.io/component={component}" if component else "")
        pods = json.loads(self.kubectl("get", "pods", f"--selector={selector}", "--output=json"))["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, component: str) -> list[str]:
        """The names of the component's pods that are ready."""
        return [name_of(pod) for pod in self.pods(component) if "True" in (condition(pod, "Ready") or "")]

    def wait_until_ready(self, component: str, count: int) -> list[str]:
        return self.until(
            lambda: len(names := self.ready(component)) == count == len(self.pods(component)) and names,
            f"{count} ready pods of {component}",
            within=120,
        )

    def delete_pod(self, name: str, *, force: bool = False) -> None:
        self.kubectl("delete", "pod", name, *(["--force", "--grace-period=0"] if force else []))

    def python(self, code: str, component: str = "operator") -> str:
        """What `code` prints in a pod of the component."""
        target = f"deployment/{self.name}-{component}"
        return self.kubectl("exec", "--stdin", target, "--", PYTHON, "-", input=code)

    def logs(self, component: str) -> str:
        selector = f"--selector={LABEL}={self.name},app.kubernetes.io/component={component}"
        return self.kubectl("logs", selector, "--tail=-1", "--ignore-errors")

    # --- runs ------------------------------------------------------------------------------------------------------

    def apply(self, runs: Mapping[str, JsonObject]) -> None:
        """Apply runs, specs by name, in one go."""
        documents = listed([manifest(name, spec) for name, spec in runs.items()])
        self.in_team("apply", "--filename=-", input=json.dumps(documents))

    def in_team(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        """kubectl in the runs' namespace."""
        return self.node.kubectl(f"--namespace={self.team}", *args, input=input)

    def runs(self) -> dict[str, JsonObject]:
        items = json.loads(self.in_team("get", "workflowruns", "--output=json"))["items"]
        return {name_of(item): item for item in items}

    def ended(self, names: Collection[str], *, within: float = 180.0) -> dict[str, JsonObject]:
        """The runs of those names, once all have ended."""

        def look() -> dict[str, JsonObject] | None:
            found = {name: run for name, run in self.runs().items() if name in names}
            done = [run for run in found.values() if run["status"].get("phase") in FINAL]
            return found if len(done) == len(names) else None

        return self.until(look, f"all of {len(names)} runs have ended", within=within, pause=1.0)

    def histories(self, runs: Iterable[JsonObject]) -> dict[InstanceKey, History]:
        """The events of each run, as an operator reads them."""
        histories: dict[InstanceKey, History] = {key_of(run): [] for run in runs}
        keys = [(key.namespace, str(key.instance_id)) for key in histories]
        for line in self.python(f"KEYS = {keys!r}\n{_READ_HISTORIES}").splitlines():
            namespace, instance, *where, event = line.split()
            sequence, previous, place = map(int, where)
            key = InstanceKey(namespace, UUID(instance))
            read = decode_event(b64decode(event), sequence=sequence, previous=previous, place=place)
            histories[key].append(read)
        return histories

    # --- waiting ---------------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], T | None], what: str, *, within: float = 90.0, pause: float = 0.5) -> T:
        return until(condition, what, within=within, pause=pause, explain=self.explain)

    def explain(self) -> str:
        """What a reader of a failed test wants to see."""
        phases = Counter(run["status"].get("phase") for run in self.runs().values())
        texts = [
            f"phases in {self.team}: {dict(phases)}",
            self._say("get", "pods,persistentvolumeclaims", "--output=wide"),
            self._say("get", "events", "--field-selector=type=Warning", "--sort-by=.lastTimestamp"),
            *(self._say("logs", f"pod/{name_of(pod)}", "--tail=10") for pod in self.pods()),
        ]
        return "\n".join(texts)

    def _say(self, *args: str) -> str:
        try:
            lines = self.kubectl(*args).splitlines()
        except NodeError as error:
            return str(error)
        return "\n".join([f"$ kubectl {' '.join(args)}", *(line[:LINE] for line in lines[-LINES:])])


def make_namespace(node: Cluster, name: str) -> None:
    """A namespace that refuses pods below the restricted standard."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    node.kubectl("apply", "--filename=-", input=json.dumps(namespace))


def name_of(item: JsonObject) -> str:
    return str(item["metadata"]["name"])


def condition(item: JsonObject, kind: str) -> str | None:
    """`<status> <reason>: <message>` of a condition; None where the object has none of that type."""
    for each in item["status"].get("conditions", []):
        if each["type"] == kind:
            return f"{each['status']} {each.get('reason', '')}: {each.get('message', '')}"
    return None


def numbered(count: int, spec: JsonObject, prefix: str) -> dict[str, JsonObject]:
    """`count` runs of one spec, with names never used before."""
    tag = secrets.token_hex(2)
    return {f"{prefix}-{tag}-{number}": spec for number in range(count)}


def objects_of(node: Cluster, kinds: Sequence[str], instance: str) -> list[str]:
    """`kind/name` of all objects of those kinds that carry the release's label, in all namespaces."""
    return node.kubectl(
        "get",
        ",".join(kinds),
        "--all-namespaces",
        f"--selector={LABEL}={instance}",
        "--output=name",
        "--ignore-not-found",
    ).split()
