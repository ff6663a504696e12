"""Each role does its work with the permissions that the chart ships, and nothing beyond them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dev import nats_permissions
from tests.contracts.test_transport import _Clock
from tests.contracts.workqueue import WorkQueueContract, anybody
from tests.fakes.polling import eventually
from tests.fakes.records import event, new_key, status
from tests.fixtures.roles import OPTIONS, Roles
from tests.fixtures.snapshot import backup, restore
from tests.jetstream.test_older import make_older
from workflow_operator.history import EventType, InstanceStatus, WorkQueue
from workflow_operator.history.errors import Refused, Unavailable
from workflow_operator.jetstream import check, check_projection, ensure
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.membership import Membership
from workflow_operator.jetstream.projection import ProjectionFeed
from workflow_operator.jetstream.queue import JetStreamWorkQueue
from workflow_operator.jetstream.streams.older import EXECUTION
from workflow_operator.jetstream.streams.permissions import Role, inbox_prefix
from workflow_operator.jetstream.streams.topology import HISTORY, MEMBERS, PROJECTION, QUEUE, STATUS, TIMERS, streams
from workflow_operator.jetstream.watch import StatusWatcher

STREAMS = [each.name for each in streams(OPTIONS)]


def test_the_chart_and_the_page_have_what_the_code_says() -> None:
    assert nats_permissions.FILE.read_text() == nats_permissions.file(), "run make docs"
    page = nats_permissions.PAGE.read_text()
    assert page == nats_permissions.page(page), "run make docs"
    assert "| append to histories | yes |  | yes |  |  | `instances.history.*.*` |" in page


@pytest.fixture
async def roles(tmp_path: Path) -> AsyncIterator[Roles]:
    """With every stream there, created by the operator."""
    async with AsyncExitStack() as stack:
        roles = Roles(tmp_path, stack)
        await roles.server.start()
        stack.callback(roles.server.kill)
        await ensure(await roles.open(Role.OPERATOR), OPTIONS)
        yield roles


@pytest.mark.integration
class TestExecutorsWorkQueue(WorkQueueContract):
    @pytest.fixture
    def clock(self) -> _Clock:
        return _Clock(1)

    @pytest.fixture
    async def work_queue(self, roles: Roles) -> AsyncIterator[WorkQueue]:
        queue = JetStreamWorkQueue(await roles.open(Role.EXECUTOR))
        timers = asyncio.create_task(queue.run())
        yield queue
        timers.cancel()
        with suppress(asyncio.CancelledError):
            await timers
        assert roles.violations() == []


@pytest.mark.integration
async def test_the_roles_work_together(roles: Roles) -> None:
    connections = {role: await roles.open(role) for role in {*Role} - {Role.BACKUP}}
    buses = {role: JetStreamDataBus(connection) for role, connection in connections.items()}
    await ensure(connections[Role.OPERATOR], OPTIONS)
    await check(connections[Role.EXECUTOR], OPTIONS)
    await check_projection(connections[Role.PROJECTOR], OPTIONS)
    operators = Membership(connections[Role.OPERATOR], "operators.all", "one")
    projectors = Membership(connections[Role.PROJECTOR], "projectors", "two")
    await operators.start()
    await projectors.start()

    key = new_key()
    started = await buses[Role.OPERATOR].push_instance_event(event(key), 0)
    claimed = await buses[Role.EXECUTOR].push_instance_event(event(key, EventType.CLAIMED), started.sequence)
    histories = [await bus.query_history(key) for bus in buses.values()]
    assert histories == [[started, claimed]] * 4
    # Asked of the leader, for a history that is not there.
    assert [await bus.query_history(new_key()) for bus in buses.values()] == [[]] * 4

    feed = ProjectionFeed(connections[Role.PROJECTOR])
    folded = 0
    while folded < 2:
        for partition in range(feed.partitions):
            with suppress(Unavailable):
                for held in await feed.pull(partition, 0.05):
                    await held.ack()
                    folded += 1
    assert sum([await feed.pending(partition) for partition in range(feed.partitions)]) == 0
    assert [each async for each in buses[Role.PROJECTOR].tails()] == [key]
    await buses[Role.PROJECTOR].write_status(status(key, claimed.sequence))

    assert [each.key for each in await buses[Role.READER].query_instance_status(key.namespace)] == [key]
    assert list(await buses[Role.READER].query_statuses([key])) == [key]
    assert (await first(StatusWatcher(connections[Role.OPERATOR], buses[Role.OPERATOR]))).key == key

    queue = JetStreamWorkQueue(connections[Role.OPERATOR])
    assert await queue.enqueue(key)
    await queue.enqueue_at(new_key(), datetime.now(UTC) + timedelta(hours=1))
    assert (await queue.depth()).scheduled == 1
    await (await queue.pull(1, 5, anybody))[0].ack()
    await projectors.close()
    await operators.close()
    assert roles.violations() == []


async def first(watcher: StatusWatcher) -> InstanceStatus:
    """The first instance that is found to go on."""
    following = asyncio.ensure_future(anext(watcher.statuses()))
    try:
        return await anext(watcher.pending())
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@pytest.mark.integration
async def test_who_may_not_create_streams_waits_for_an_operator(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        roles = Roles(tmp_path, stack)
        await roles.server.start()
        stack.callback(roles.server.kill)
        projector = await roles.open(Role.PROJECTOR)
        with pytest.raises(Unavailable, match="is not there yet: an operator creates it"):
            await check_projection(projector, OPTIONS)
        await ensure(await roles.open(Role.OPERATOR), OPTIONS)
        await check_projection(projector, OPTIONS)
        assert roles.violations() == []


@pytest.mark.integration
async def test_a_projector_starts_before_any_operator_of_its_release(tmp_path: Path) -> None:
    """Release 0.2 made all that a projector needs, and knows neither QUEUE nor TIMERS."""
    async with AsyncExitStack() as stack:
        roles = Roles(tmp_path, stack)
        await roles.server.start()
        stack.callback(roles.server.kill)
        everything = await roles.administrator()
        await ensure(everything, OPTIONS)
        for stream in (QUEUE, TIMERS):
            assert "error" not in await everything.api(f"STREAM.DELETE.{stream}", {})
        await check_projection(await roles.open(Role.PROJECTOR), OPTIONS)
        with pytest.raises(Unavailable, match=f"stream ({QUEUE}|{TIMERS})"):
            await check(await roles.open(Role.EXECUTOR), OPTIONS)


@pytest.mark.integration
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.PROJECTOR, Role.EXECUTOR])
async def test_replicas_of_release_0_2_start_with_the_permissions_of_today(roles: Roles, role: Role) -> None:
    """Beside ours, and after a rollback where NATS keeps the newer permissions: what they ask for at their start."""
    await make_older(await roles.administrator())
    connection = await roles.open(role)
    streams = [HISTORY, STATUS, PROJECTION, EXECUTION, MEMBERS]
    consumers = [f"{EXECUTION}.executors", f"{EXECUTION}.timers", f"{PROJECTION}.partition-00"]
    for asked in [*(f"STREAM.INFO.{each}" for each in streams), *(f"CONSUMER.INFO.{each}" for each in consumers)]:
        assert "config" in await connection.api(asked, {}), asked
    assert roles.violations() == []


HISTORY_OF_ONE = "instances.history.default.11111111-2222-4333-8444-555555555555"
STATUS_OF_ONE = "instances.status.default.11111111-2222-4333-8444-555555555555"
EVERYBODY = frozenset(Role)
ALL_BUT_BACKUP = EVERYBODY - {Role.BACKUP}
ALL_BUT_OPERATOR = EVERYBODY - {Role.OPERATOR}
ALL_BUT_PROJECTOR = EVERYBODY - {Role.PROJECTOR}
NOT_EXECUTING = EVERYBODY - {Role.OPERATOR, Role.EXECUTOR}
DENIED = [
    *[(f"$JS.API.STREAM.{call}.{stream}", EVERYBODY) for call in ("DELETE", "PURGE", "UPDATE") for stream in STREAMS],
    *[(f"$JS.API.STREAM.MSG.DELETE.{stream}", EVERYBODY) for stream in STREAMS],
    *[(f"$JS.API.STREAM.{call}.HISTORY", ALL_BUT_BACKUP) for call in ("SNAPSHOT", "RESTORE")],
    *[(f"$JS.API.STREAM.{call}.STATUS", EVERYBODY) for call in ("SNAPSHOT", "RESTORE", "LEADER.STEPDOWN")],
    *[(f"$JS.API.STREAM.CREATE.{stream}", ALL_BUT_OPERATOR) for stream in STREAMS],
    ("$JS.API.STREAM.CREATE.ANOTHER", EVERYBODY),
    (f"$JS.API.CONSUMER.DELETE.{QUEUE}.lane-00", EVERYBODY),
    (f"$JS.API.CONSUMER.CREATE.{QUEUE}.mine.>", ALL_BUT_OPERATOR),
    (f"$JS.API.CONSUMER.CREATE.{PROJECTION}.mine.>", ALL_BUT_OPERATOR),
    (HISTORY_OF_ONE, NOT_EXECUTING),
    (STATUS_OF_ONE, ALL_BUT_PROJECTOR),
    ("execution.queue.0.default.x", NOT_EXECUTING),
    ("execution.timer.default.x", NOT_EXECUTING),
    ("execution.fired.default.x", EVERYBODY),
    # What release 0.2 left may be taken, and not be made or changed.
    ("execution.queue.default.x", NOT_EXECUTING),
    ("execution.due.default.x", EVERYBODY),
    *[(f"$JS.API.STREAM.{call}.EXECUTION", EVERYBODY) for call in ("CREATE", "DELETE", "PURGE", "UPDATE")],
    ("projection.0.default.x", EVERYBODY),
    (f"$JS.API.CONSUMER.MSG.NEXT.{QUEUE}.lane-00", NOT_EXECUTING),
    (f"$JS.API.CONSUMER.INFO.{QUEUE}.lane-00", NOT_EXECUTING),
    (f"$JS.API.CONSUMER.MSG.NEXT.{PROJECTION}.partition-00", ALL_BUT_PROJECTOR),
    (f"$JS.ACK.{QUEUE}.lane-00.1.1.1.1.1", NOT_EXECUTING),
    ("$KV.members.operators.all.x", ALL_BUT_OPERATOR),
    ("$KV.members.projectors.x", ALL_BUT_PROJECTOR),
    ("_INBOX_operator.x", EVERYBODY),
    ("anything.else", EVERYBODY),
    ("$JS.API.DIRECT.GET.HISTORY", {Role.BACKUP}),
]


@pytest.mark.integration
async def test_no_role_can_do_more(roles: Roles) -> None:
    everything = await roles.administrator()
    before = await states(everything)
    for role in Role:
        connection = await roles.open(role)
        for subject, denied in DENIED:
            if role in denied:
                with pytest.raises(Refused, match="may not publish to"):
                    await connection.request(subject, timeout=600)
        assert connection.connected
    assert await states(everything) == before


async def states(connection: Connection) -> dict[str, object]:
    return {name: (await connection.api(f"STREAM.INFO.{name}", {}))["state"]["messages"] for name in STREAMS}


@pytest.mark.integration
@pytest.mark.parametrize("role", [Role.READER, Role.PROJECTOR, Role.EXECUTOR])
async def test_permissions_do_not_hold_who_forges_replies(roles: Roles, role: Role) -> None:
    """What docs/nats.md warns of: NATS checks the subject of a request, and not where the answer is to go."""
    everything, connection = await roles.administrator(), await roles.open(role)
    await everything.request(new_key().history_subject)
    request = json.dumps({"last_by_subj": new_key().history_subject}).encode()
    await connection.publish("$JS.API.DIRECT.GET.HISTORY", request, reply="$JS.API.STREAM.DELETE.HISTORY")

    async def gone() -> bool:
        return "error" in await everything.api("STREAM.INFO.HISTORY", {})

    await eventually(gone)


@pytest.mark.integration
async def test_permissions_do_not_hold_a_reader_who_copies_events(roles: Roles) -> None:
    everything, reader, one, other = await roles.administrator(), await roles.open(Role.READER), new_key(), new_key()
    await everything.request(one.history_subject, b"an event")
    request = json.dumps({"last_by_subj": one.history_subject}).encode()
    await reader.publish("$JS.API.DIRECT.GET.HISTORY", request, reply=other.history_subject)

    async def there() -> bool:
        return "message" in await everything.api("STREAM.MSG.GET.HISTORY", {"last_by_subj": other.history_subject})

    await eventually(there)


@pytest.mark.integration
async def test_permissions_do_not_hold_whom_a_snapshot_is_delivered_to(roles: Roles) -> None:
    everything, connection = await roles.administrator(), await roles.open(Role.BACKUP)
    request = json.dumps({"deliver_subject": "$JS.API.STREAM.DELETE.STATUS"}).encode()
    await connection.request("$JS.API.STREAM.SNAPSHOT.HISTORY", request)

    async def gone() -> bool:
        return "error" in await everything.api("STREAM.INFO.STATUS", {})

    await eventually(gone, deadline_seconds=30)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("role", "subject", "stream", "emptied"),
    [
        (Role.OPERATOR, "execution.queue.0.default.x", "QUEUE", False),
        (Role.EXECUTOR, "execution.timer.default.x", "TIMERS", True),
        (Role.OPERATOR, "$KV.members.operators.all.x", "KV_members", True),
        (Role.PROJECTOR, "$KV.members.projectors.x", "KV_members", True),
        (Role.EXECUTOR, HISTORY_OF_ONE, "HISTORY", False),
        (Role.PROJECTOR, STATUS_OF_ONE, "STATUS", False),
    ],
)
async def test_a_roll_up_empties_only_what_is_made_again(
    roles: Roles, role: Role, subject: str, stream: str, emptied: bool
) -> None:
    everything, connection = await roles.administrator(), await roles.open(role)
    await everything.request(subject.rpartition(".")[0] + ".another")
    before = await states(everything)
    answer = await connection.request(subject, headers={"Nats-Rollup": "all"})
    assert ("rollup not permitted" in answer.data.decode()) is not emptied
    sequence = json.loads(answer.data)["seq"]
    state = (await everything.api(f"STREAM.INFO.{stream}", {}))["state"]
    assert (state["first_seq"], state["messages"]) == ((sequence, 1) if emptied else (1, before[stream]))


READERS = """
accounts {
  RUNS {
    jetstream: enabled
    users: [{user: runs, password: runs}]
    exports: [
      {service: "$JS.API.DIRECT.GET.HISTORY", response_type: stream, accounts: [READERS]}
      {service: "$JS.API.DIRECT.GET.STATUS", response_type: stream, accounts: [READERS]}
    ]
  }
  READERS {
    users: [{user: reader, password: reader}]
    imports: [
      {service: {account: RUNS, subject: "$JS.API.DIRECT.GET.HISTORY"}}
      {service: {account: RUNS, subject: "$JS.API.DIRECT.GET.STATUS"}}
    ]
  }
}
"""
"""As docs/nats.md shows it."""


@pytest.mark.integration
async def test_a_reader_in_an_account_of_its_own_reads_and_can_forge_nothing(tmp_path: Path) -> None:
    assert READERS.strip() in nats_permissions.PAGE.read_text()
    async with AsyncExitStack() as stack:
        server = EmbeddedServer(tmp_path / "nats", sync_always=False, config=READERS)
        await server.start()
        stack.callback(server.kill)
        runs, reader = [await open_by_url(stack, server, user) for user in ("runs", "reader")]
        await ensure(runs, OPTIONS)
        bus, key = JetStreamDataBus(runs), new_key()
        stored = [await bus.push_instance_event(event(key), 0)]
        for _ in range(20):
            stored.append(await bus.push_instance_event(event(key, EventType.TRANSITION), stored[-1].sequence))
        await bus.write_status(status(key, stored[-1].sequence))

        assert await JetStreamDataBus(reader).query_history(key) == stored
        assert [each.key for each in await JetStreamDataBus(reader).query_instance_status()] == [key]
        missing = json.dumps({"last_by_subj": new_key().history_subject}).encode()
        there = json.dumps({"last_by_subj": key.history_subject}).encode()
        for request in (missing, there):
            for reply in ("$JS.API.STREAM.DELETE.HISTORY", "$JS.API.STREAM.PURGE.HISTORY", new_key().history_subject):
                await reader.publish("$JS.API.DIRECT.GET.HISTORY", request, reply=reply)
        # Answered after all of those.
        assert await JetStreamDataBus(reader).query_history(key) == stored
        assert (await states(runs))["HISTORY"] == len(stored)


async def open_by_url(stack: AsyncExitStack, server: EmbeddedServer, user: str) -> Connection:
    url = server.url.replace("nats://", f"nats://{user}:{user}@")
    connection = await Connection.open(ConnectionOptions(servers=(url,), name=user))
    stack.push_async_callback(connection.close)
    return connection


@pytest.mark.integration
async def test_backup_and_restore_need_their_own_login_only(roles: Roles, tmp_path: Path) -> None:
    key = new_key()
    bus = JetStreamDataBus(await roles.open(Role.OPERATOR))
    stored = await bus.push_instance_event(event(key), 0)
    snapshot = await backup(await roles.open(Role.BACKUP), HISTORY)
    async with AsyncExitStack() as stack:
        others = Roles(tmp_path / "empty", stack)
        await others.server.start()
        stack.callback(others.server.kill)
        await restore(await others.open(Role.BACKUP), snapshot)
        operator = await others.open(Role.OPERATOR)
        await ensure(operator, OPTIONS)
        assert await JetStreamDataBus(operator).query_history(key) == [stored]
        assert roles.violations() + others.violations() == []


@pytest.mark.integration
async def test_no_role_hears_what_is_answered_to_another(roles: Roles) -> None:
    for role in Role:
        for other in {*Role} - {role}:
            with pytest.raises(Refused, match=rf"may not subscribe to _inbox_{other}\."):
                await roles.open(role, inbox=inbox_prefix(other))
