"""Who is alive, and who owns what."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import cache

import pytest

from tests.fakes.polling import eventually
from workflow_operator.history.errors import InvalidInput, Unavailable
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.membership import REFRESH_SECONDS, Membership, living, rendezvous
from workflow_operator.jetstream.streams.topology import TopologyOptions, ensure

KEYS = [f"default/{number}" for number in range(10_000)]


@cache
def owners(*members: str) -> dict[str, str | None]:
    return {key: rendezvous(members, key) for key in KEYS}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16])
def test_shares_are_even(count: int) -> None:
    shares = Counter(owners(*[f"replica-{number}" for number in range(count)]).values())
    assert len(shares) == count
    assert all(abs(share - len(KEYS) / count) < 0.15 * len(KEYS) / count for share in shares.values())


def test_a_member_that_goes_moves_its_own_keys_only() -> None:
    before, after = owners("a", "b", "c"), owners("a", "c")
    assert all(before[key] == after[key] for key in KEYS if before[key] != "b")
    assert Counter(after[key] for key in KEYS if before[key] == "b").keys() == {"a", "c"}


def test_a_member_that_comes_takes_from_everybody_and_moves_nothing_else() -> None:
    before, after = owners("a", "b"), owners("a", "b", "c")
    assert {after[key] for key in KEYS if before[key] != after[key]} == {"c"}
    assert {before[key] for key in KEYS if before[key] != after[key]} == {"a", "b"}


def test_the_order_of_members_does_not_matter() -> None:
    assert owners("a", "b", "c") == owners("c", "a", "b")


def test_the_owner_is_the_same_in_every_release() -> None:
    # Replicas of two releases share the work during an upgrade.
    assert "".join(str(rendezvous(["a", "b", "c"], str(key))) for key in range(8)) == "accbacba"


def test_nobody_owns_anything_without_members() -> None:
    assert rendezvous([], "key") is None


@pytest.mark.parametrize("bad", ["", "a.b", "a b", "*", ">"])
def test_refuses_a_member_that_is_not_one_token(bad: str) -> None:
    with pytest.raises(InvalidInput, match="letters"):
        Membership(Connection(ConnectionOptions(servers=(), name="")), "projectors", bad)


@pytest.mark.parametrize("bad", ["", "a.", ".b", "a..b", "a b", "a.*", ">"])
def test_refuses_a_group_that_is_no_name_in_parts(bad: str) -> None:
    with pytest.raises(InvalidInput, match="letters"):
        Membership(Connection(ConnectionOptions(servers=(), name="")), bad, "one")


class Ticker:
    """Sleep that ends when the test says so."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    async def tick(self) -> None:
        await eventually(lambda: self._waiting)
        self._waiting.pop().set_result(None)


@pytest.mark.integration
async def test_members_see_one_another_come_and_go(connection: Connection) -> None:
    ticker = Ticker()
    one = Membership(connection, "projectors", "one", sleep=ticker.sleep)
    two = Membership(connection, "projectors", "two", sleep=Ticker().sleep)
    changes: list[tuple[str, ...]] = []
    one.on_change(lambda: changes.append(one.members))
    elsewhere = Membership(connection, "operators", "three", sleep=Ticker().sleep)
    await one.start()
    await elsewhere.start()
    await two.start()
    assert two.members == ("one", "two")

    await ticker.tick()
    await eventually(lambda: changes == [("one", "two")])
    assert all(one.owns(key) != two.owns(key) for key in KEYS[:100])

    await two.close()
    await ticker.tick()
    await eventually(lambda: changes == [("one", "two"), ("one",)])
    assert all(map(one.owns, KEYS[:100]))
    assert set(ticker.slept) == {REFRESH_SECONDS}
    await one.close()
    await elsewhere.close()


@pytest.mark.integration
async def test_who_gives_way_owns_nothing_before_the_others_have_looked(connection: Connection) -> None:
    first, second = Ticker(), Ticker()
    one = Membership(connection, "operators", "one", gives_way=lambda: True, sleep=first.sleep)
    two = Membership(connection, "operators", "two", gives_way=lambda: True, sleep=second.sleep)
    await one.start()
    assert all(map(one.owns, KEYS[:100])), "nobody was there before"
    changes: list[bool] = []
    two.on_change(lambda: changes.append(two.settled))
    await two.start()
    assert not any(map(two.owns, KEYS[:100]))

    await second.tick()
    await second.tick()
    await eventually(lambda: two.settled)
    assert sum(second.slept[:2]) > REFRESH_SECONDS, "by then each of the others has looked"
    assert changes == [False, True], "it tells that it owns something now"
    await first.tick()
    await eventually(lambda: one.members == two.members)
    assert all(one.owns(key) != two.owns(key) for key in KEYS[:100])
    await one.close()
    await two.close()


@pytest.mark.integration
async def test_who_may_not_join_yet_is_seen_by_nobody(connection: Connection) -> None:
    allowed: list[bool] = []
    ticker = Ticker()
    one = Membership(connection, "operators", "one", sleep=Ticker().sleep)
    two = Membership(connection, "operators", "two", gives_way=lambda: bool(allowed), sleep=ticker.sleep)
    await one.start()
    await two.start()
    await ticker.tick()
    await one.refresh()
    assert all(map(one.owns, KEYS[:100])), "what the other does not know of has an owner all the same"
    assert not any(map(two.owns, KEYS[:100]))

    allowed.append(True)
    await ticker.tick()
    await eventually(lambda: two.members == ("one", "two"))
    outside = len(ticker.slept)
    await ticker.tick()
    await ticker.tick()
    await eventually(lambda: two.settled)
    assert sum(ticker.slept[outside - 1 : outside + 1]) > REFRESH_SECONDS, "by then each of the others has looked"
    await one.close()
    await two.close()


@pytest.mark.integration
async def test_who_is_alone_joins_at_once(connection: Connection) -> None:
    one = Membership(connection, "operators", "one", gives_way=lambda: False, sleep=Ticker().sleep)
    await one.start()
    assert all(map(one.owns, KEYS[:100]))
    await one.close()


@pytest.mark.integration
async def test_who_gives_way_to_one_that_goes_owns_all_at_once(connection: Connection) -> None:
    ticker = Ticker()
    one = Membership(connection, "operators", "one", sleep=Ticker().sleep)
    two = Membership(connection, "operators", "two", gives_way=lambda: True, sleep=ticker.sleep)
    await one.start()
    await two.start()
    await one.close()
    await ticker.tick()
    await eventually(lambda: all(map(two.owns, KEYS[:100])))
    await two.close()


@pytest.mark.integration
async def test_a_member_that_falls_silent_is_gone_after_the_ttl(nats_server: EmbeddedServer) -> None:
    connection = await Connection.open(ConnectionOptions(servers=(nats_server.url,), name="tests"))
    await ensure(connection, TopologyOptions(member_ttl_seconds=1.0))
    one, silent = (Membership(connection, "projectors", name) for name in ("one", "silent"))
    await silent.refresh()
    await one.refresh()
    assert one.members == ("one", "silent")

    async def alone() -> bool:
        await one.refresh()
        return one.members == ("one",)

    await eventually(alone, deadline_seconds=5)
    await connection.close()


@pytest.mark.integration
async def test_the_last_view_stays_while_nats_is_away(nats_server: EmbeddedServer, connection: Connection) -> None:
    ticker = Ticker()
    one, two = (Membership(connection, "projectors", name, sleep=ticker.sleep) for name in ("one", "two"))
    await two.refresh()
    await one.start()
    nats_server.kill()
    await eventually(lambda: not connection.connected)

    with pytest.raises(Unavailable):
        await one.refresh()
    await ticker.tick()
    await eventually(lambda: len(ticker.slept) == 2)
    assert one.members == ("one", "two")
    await one.close()


@pytest.mark.integration
async def test_a_member_lives_while_it_shows_that_it_does(connection: Connection) -> None:
    async def stand_still(_: float) -> None:
        await asyncio.Event().wait()

    one = Membership(connection, "operators.all", "one")
    killed = Membership(connection, "executors", "two", sleep=stand_still)
    left = Membership(connection, "executors", "three")
    for member in (one, killed, left):
        await member.start()
    everybody = {"one", "two", "three", "never-there"}
    assert await living(connection, everybody) == {"one", "two", "three"}
    await left.close()
    assert await living(connection, everybody) == {"one", "two"}
    assert await living(connection, {"two"}) == {"two"}
    assert await living(connection, ()) == frozenset()

    async def silence_is_seen() -> bool:
        return await living(connection, everybody) == {"one"}

    # Before its key is gone, which is after 6 s.
    await eventually(silence_is_seen, deadline_seconds=5.5)
    await one.close()
    await killed.close()
