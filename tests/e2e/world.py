"""What the end-to-end tests ask of a running installation, and how they wait for it."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any, TypeVar
from uuid import UUID

from dev.stack import Process, Stack, blocking
from tests.fixtures.workflowruns import Kubectl, manifest
from workflow_operator.history import EventType, InstanceEvent, InstanceKey, InstanceStatus, fold
from workflow_operator.jetstream import Connection, JetStreamDataBus
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.streams.topology import LANES, QUEUE, lane_consumer

T = TypeVar("T")
History = list[InstanceEvent]
JsonObject = dict[str, Any]

FINAL = frozenset({"Complete", "Failed", "Cancelled"})

# Executor identities end in the process id and a random part.
_PID = re.compile(r"-(\d+)-[0-9a-f]+$")
_LOG_LINES = 15


class World:
    """One installation, as the tests of one namespace see it."""

    def __init__(self, stack: Stack, kubectl: Kubectl) -> None:
        self.stack = stack
        self.kubectl = kubectl

    @property
    def namespace(self) -> str:
        return self.kubectl.namespace

    # --- objects ---------------------------------------------------------------------------------------------------

    def apply(self, *specs: tuple[str, JsonObject]) -> None:
        """Apply runs, (name, spec) each, in one go."""
        self.kubectl("apply", "-f", "-", document=listed([manifest(name, spec) for name, spec in specs]))

    def runs(self) -> dict[str, JsonObject]:
        """Every run of the namespace, by name."""
        items = json.loads(self.kubectl("get", "workflowruns", "-o", "json"))["items"]
        return {item["metadata"]["name"]: item for item in items}

    def run(self, name: str) -> JsonObject:
        return self.kubectl.get(name)

    def key(self, name: str) -> InstanceKey:
        return key_of(self.run(name))

    def ended(self, names: Collection[str], *, within: float = 90.0) -> dict[str, JsonObject]:
        """The runs of those names, once all have ended."""

        def look() -> dict[str, JsonObject] | None:
            found = {name: run for name, run in self.runs().items() if name in names}
            done = [name for name, run in found.items() if run["status"]["phase"] in FINAL]
            return found if len(done) == len(names) else None

        return self.until(look, f"all of {len(names)} runs have ended", within=within, pause=0.5)

    # --- histories -------------------------------------------------------------------------------------------------

    def histories(self, keys: Iterable[InstanceKey]) -> dict[InstanceKey, History]:
        """The events of each instance, read from JetStream."""
        return histories(self.stack.nats.url, keys)

    def history(self, key: InstanceKey) -> History:
        return self.histories([key])[key]

    def history_until(
        self, key: InstanceKey, condition: Callable[[History], bool], what: str, *, within: float = 60.0
    ) -> History:
        """The history, once it satisfies the condition."""

        def look() -> History | None:
            events = self.history(key)
            return events if condition(events) else None

        return self.until(look, f"history of {key}: {what}", within=within, pause=0.1)

    def held(self) -> int:
        """Instances that wait for an executor or are held by one."""

        async def ask(connection: Connection) -> int:
            infos = [await connection.api(f"CONSUMER.INFO.{QUEUE}.{lane_consumer(lane)}", {}) for lane in range(LANES)]
            return sum(int(info["num_pending"]) + int(info["num_ack_pending"]) for info in infos)

        return connected(self.stack.nats.url, ask)

    # --- processes -------------------------------------------------------------------------------------------------

    def operator_of(self, executor_id: str) -> Process:
        """The operator process that writes under this executor identity."""
        match = _PID.search(executor_id)
        assert match, executor_id
        found = [operator for operator in self.stack.operators if operator.pid == int(match[1])]
        assert found, f"no operator has pid {match[1]}: {[operator.pid for operator in self.stack.operators]}"
        return found[0]

    def script_lines(self, instance: InstanceKey) -> list[str]:
        """What the script of an instance printed, from the logs of all operators, dead ones too."""
        return [
            entry["message"]
            for operator in self.stack.operators
            for entry in operator.log_records()
            if entry["logger"] == "workflow_operator.script" and entry["instance"] == str(instance.instance_id)
        ]

    # --- waiting ---------------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], T | None], what: str, *, within: float = 60.0, pause: float = 0.1) -> T:
        """The first true value of the condition; AssertionError with the ends of the logs after ``within`` seconds."""
        return until(condition, what, within=within, pause=pause, explain=self.explain)

    def until_without_objects(self, condition: Callable[[], bool], what: str, *, within: float = 60.0) -> None:
        """As until(), while no API server answers."""
        until(condition, what, within=within, pause=0.2, explain=self.stack.tails)

    def explain(self) -> str:
        """What a reader of a failed test wants to see."""
        phases = Counter(run["status"]["phase"] for run in self.runs().values())
        return f"phases in {self.namespace}: {dict(phases)}\n{self.stack.tails(_LOG_LINES)}"


def listed(items: Sequence[JsonObject]) -> JsonObject:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def key_of(run: JsonObject) -> InstanceKey:
    return InstanceKey(run["metadata"]["namespace"], UUID(run["metadata"]["uid"]))


def connected(url: str, ask: Callable[[Connection], Awaitable[T]]) -> T:
    """Ask NATS over a connection of our own."""

    async def work() -> T:
        connection = await Connection.open(ConnectionOptions(servers=(url,), name="tests"))
        try:
            return await ask(connection)
        finally:
            await connection.close()

    return blocking(work())


def histories(url: str, keys: Iterable[InstanceKey]) -> dict[InstanceKey, History]:
    async def ask(connection: Connection) -> dict[InstanceKey, History]:
        bus = JetStreamDataBus(connection)
        return {key: await bus.query_history(key) for key in keys}

    return connected(url, ask)


def until(
    condition: Callable[[], T | None],
    what: str,
    *,
    within: float = 60.0,
    pause: float = 0.1,
    explain: Callable[[], str] = lambda: "",
) -> T:
    end = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {within:g} s: {what}\n{explain()}"
        time.sleep(pause)
    return value


# --- what holds of every history -----------------------------------------------------------------------------------


def folded(history: History) -> InstanceStatus:
    status = reduce(fold, history, None)
    assert status is not None
    return status


def assert_sound(history: History) -> None:
    """One unbroken chain, in which nothing is recorded twice, driven by one executor at a time."""
    assert history, "no history"
    assert history[0].type is EventType.STARTED
    assert history[0].previous == 0
    for before, event in pairwise(history):
        # Of the same commit, or the first of the next one.
        together = (before.sequence, before.previous, before.place + 1)
        expected = together if event.sequence == before.sequence else (event.sequence, before.sequence, 0)
        assert (event.sequence, event.previous, event.place) == expected, f"gap before {event.type}"
        assert not before.terminal, f"{event.type} behind {before.type}"
    assert len({event.event_id for event in history}) == len(history)
    recorded = Counter((event.call.index, event.type) for event in history if event.call)
    assert not [call for call, count in recorded.items() if count > 1], "recorded twice"
    driver = None
    for event in history:
        if event.executor is None:
            continue
        if driver is not None and event.executor != driver:
            # The end of a cancelled or abandoned instance needs no claim: it is the last event.
            assert event.type is EventType.CLAIMED or event.terminal, f"{event.executor} took over without a claim"
            assert event.type is not EventType.CLAIMED or event.executor.epoch == driver.epoch + 1
        driver = event.executor


def drivers(history: History) -> list[str]:
    """The executors that wrote, each named when it began."""
    ids = [event.executor.id for event in history if event.executor]
    return [name for place, name in enumerate(ids) if place == 0 or ids[place - 1] != name]


@dataclass(frozen=True)
class Handover:
    """An instance went from one executor to another: the last event of the one, the first of the other."""

    last: InstanceEvent
    first: InstanceEvent
    leaving: str

    @property
    def seconds(self) -> float:
        return (self.first.time - self.last.time).total_seconds()


def handovers(history: History) -> list[Handover]:
    written = [(event, event.executor.id) for event in history if event.executor]
    return [
        Handover(before, after, leaving)
        for (before, leaving), (after, taking) in pairwise(written)
        if leaving != taking
    ]


def transitions(history: History) -> int:
    return sum(event.type is EventType.TRANSITION for event in history)


def ends_with(kind: EventType) -> Callable[[History], bool]:
    return lambda events: bool(events) and events[-1].type is kind


# --- the API server's own count of requests --------------------------------------------------------------------------

_REQUESTS = re.compile(r"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
# The API server renews leases, and so on, by itself; these resources only others write.
_RESOURCES = frozenset({"workflowruns", "events", "configmaps", "secrets", "customresourcedefinitions"})


def writes(metrics: str) -> Counter[tuple[str, str, str]]:
    """Requests that change something, refused ones too, by (resource, subresource, verb)."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for match in _REQUESTS.finditer(metrics):
        labels: Mapping[str, str] = dict(_LABEL.findall(match["labels"]))
        if labels["verb"] in _WRITES and labels["resource"] in _RESOURCES:
            counts[labels["resource"], labels["subresource"], labels["verb"]] += int(float(match["count"]))
    return counts
