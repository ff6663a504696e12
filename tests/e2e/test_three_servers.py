"""Streams with three replicas: the death of the server that leads them loses and repeats nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.scripts import STEPS, TICKING
from tests.e2e.test_local import Replica
from tests.e2e.world import assert_sound, transitions
from tests.fakes.events import plain
from tests.fakes.polling import eventually
from tests.fixtures.nats_cluster import NatsCluster
from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.engine import EngineLimits
from workflow_operator.history import EventType, InstanceEvent, InstanceKey
from workflow_operator.history.errors import Unavailable
from workflow_operator.jetstream.streams.topology import HISTORY, MEMBERS, TopologyOptions, ensure, streams

pytestmark = pytest.mark.integration

RUNS = 5
STREAMS = [each.name for each in streams(TopologyOptions())]


async def test_the_leader_dies_in_the_middle_of_runs(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        cluster = NatsCluster(tmp_path)
        stack.callback(cluster.kill)
        await cluster.start()
        settings = Settings(nats_url=cluster.url, nats_replicas=3)
        transport = await eventually(lambda: connect(stack, settings), deadline_seconds=60)
        assert {name: len((await info(transport, name))["replicas"]) for name in STREAMS} == dict.fromkeys(STREAMS, 2)
        for name in ("first", "second"):
            stack.callback(Replica(name, cluster.url, tmp_path).kill)

        runner = roles.workflow_runner(transport, EngineLimits())
        keys = [InstanceKey("tests", await runner.execute("tests", TICKING)) for _ in range(RUNS)]
        await eventually(lambda: each_has(transport, keys, 3), deadline_seconds=60)
        leader = (await info(transport, HISTORY))["leader"]
        cluster.servers[leader].kill()
        await eventually(lambda: all_ended(transport, keys), deadline_seconds=120)

        for key in keys:
            history = await transport.bus.query_history(key)
            assert_sound(history)
            assert (history[-1].type, plain(history[-1].output)) == (EventType.SUCCEEDED, "done")
            assert [plain(each.memory) for each in history if each.type is EventType.TRANSITION] == [
                *range(1, STEPS + 1)
            ]
        await eventually(lambda: all_folded(transport, keys), deadline_seconds=60)

        await cluster.servers[leader].start()
        await eventually(lambda: all_current(transport), deadline_seconds=60)


async def test_too_few_servers_for_the_replicas_are_waited_for(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        cluster = NatsCluster(tmp_path)
        stack.callback(cluster.kill)
        await cluster.start()
        transport = await eventually(lambda: connect(stack, Settings(nats_url=cluster.url)), deadline_seconds=60)
        await transport.connection.api(f"STREAM.DELETE.{MEMBERS}", {})
        with pytest.raises(
            Unavailable, match=r"KV_members cannot be created yet: no suitable peers .* more NATS servers"
        ):
            await ensure(transport.connection, TopologyOptions(replicas=5))


async def connect(stack: AsyncExitStack, settings: Settings) -> roles.Transport | None:
    """None until the servers have found each other."""
    try:
        return await stack.enter_async_context(roles.transport(settings, "tests"))
    except Unavailable:
        return None


async def info(transport: roles.Transport, stream: str) -> dict[str, Any]:
    answer = await transport.connection.api(f"STREAM.INFO.{stream}", {})
    cluster: dict[str, Any] = answer["cluster"]
    return cluster


async def histories(transport: roles.Transport, keys: list[InstanceKey]) -> list[list[InstanceEvent]]:
    try:
        return [await transport.bus.query_history(key) for key in keys]
    except Unavailable:
        return []


async def each_has(transport: roles.Transport, keys: list[InstanceKey], steps: int) -> bool:
    found = await histories(transport, keys)
    return bool(found) and all(transitions(history) >= steps for history in found)


async def all_ended(transport: roles.Transport, keys: list[InstanceKey]) -> bool:
    found = await histories(transport, keys)
    return bool(found) and all(history[-1].terminal for history in found)


async def all_folded(transport: roles.Transport, keys: list[InstanceKey]) -> bool:
    try:
        statuses = await transport.bus.query_statuses(keys)
    except Unavailable:
        return False
    return len(statuses) == len(keys) and all(status.terminal for status in statuses.values())


async def all_current(transport: roles.Transport) -> bool:
    """Whether the server that was dead has caught up with every stream."""
    peers = [peer for name in STREAMS for peer in (await info(transport, name))["replicas"]]
    return all(peer["current"] and not peer.get("offline") and not peer.get("lag") for peer in peers)
