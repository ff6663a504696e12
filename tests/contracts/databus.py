"""What every DataBus keeps to. A test class inherits the suite and provides the fixture ``data_bus``."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.events import plain
from tests.fakes.records import event, new_key, status
from workflow_operator.history import DataBus, EventType, InstanceKey, StatusValue
from workflow_operator.history.errors import Conflict, PayloadTooLarge


class DataBusContract:
    async def test_leaves_out_large_payloads_of_transitions_on_request(self, data_bus: DataBus) -> None:
        key = new_key()
        large, small = "x" * 5000, "y"
        last = await data_bus.push_instance_event(event(key, script=large), 0)
        for memory in (large, small):
            made = event(key, EventType.TRANSITION, memory=memory)
            last = await data_bus.push_instance_event(made, last.sequence)

        started, big, little = await data_bus.query_history(key, slim=True)
        assert (started.script, plain(big.memory), plain(little.memory)) == (large, "…", small)
        assert big.size > 5000 > little.size > 0
        assert [plain(each.memory) for each in await data_bus.query_history(key)] == [None, large, small]

    async def test_appends_and_reads_back_in_order(self, data_bus: DataBus) -> None:
        key, other = new_key(), new_key()
        started = await data_bus.push_instance_event(event(key, input={"a": [1, None]}, script="x"), 0)
        await data_bus.push_instance_event(event(other), 0)
        moved = await data_bus.push_instance_event(event(key, EventType.TRANSITION), started.sequence)

        assert await data_bus.query_history(key) == [started, moved]
        assert (started.previous, moved.previous) == (0, started.sequence)
        assert moved.sequence > started.sequence > 0

    async def test_reads_only_what_follows(self, data_bus: DataBus) -> None:
        key = new_key()
        first = await data_bus.push_instance_event(event(key), 0)
        second = await data_bus.push_instance_event(event(key, EventType.TRANSITION), first.sequence)

        assert await data_bus.query_history(key, after=first.sequence) == [second]
        assert await data_bus.query_history(key, after=second.sequence) == []

    async def test_a_history_that_nobody_began_is_empty(self, data_bus: DataBus) -> None:
        assert await data_bus.query_history(new_key()) == []

    async def test_a_long_history_is_whole(self, data_bus: DataBus) -> None:
        key = new_key()
        last = (await data_bus.push_instance_event(event(key), 0)).sequence
        pushed = [last]
        for _ in range(600):
            last = (await data_bus.push_instance_event(event(key, EventType.TRANSITION), last)).sequence
            pushed.append(last)

        assert [each.sequence for each in await data_bus.query_history(key)] == pushed

    async def test_tells_an_absent_field_from_null(self, data_bus: DataBus) -> None:
        key = new_key()
        await data_bus.push_instance_event(event(key, input=None), 0)

        (stored,) = await data_bus.query_history(key)

        assert stored.has("input")
        assert not stored.has("memory")

    @pytest.mark.parametrize("wrong", [0, 10**6], ids=["behind", "ahead"])
    async def test_refuses_another_expected_sequence(self, data_bus: DataBus, wrong: int) -> None:
        key = new_key()
        started = await data_bus.push_instance_event(event(key), 0)

        with pytest.raises(Conflict, match=str(key)):
            await data_bus.push_instance_event(event(key, EventType.TRANSITION), wrong)
        assert await data_bus.query_history(key) == [started]

    async def test_the_same_append_twice_is_one_event(self, data_bus: DataBus) -> None:
        key = new_key()
        mine = event(key)
        first = await data_bus.push_instance_event(mine, 0)
        await data_bus.push_instance_event(event(key, EventType.CANCEL_REQUESTED), first.sequence)

        assert await data_bus.push_instance_event(mine, 0) == first
        assert len(await data_bus.query_history(key)) == 2

    async def test_a_commit_is_read_back_as_its_events(self, data_bus: DataBus) -> None:
        key = new_key()
        begun = [event(key, script="x"), event(key, EventType.TRANSITION, memory=1), event(key, EventType.OUTPUT)]
        first = await data_bus.append(begun, 0)
        (single,) = await data_bus.append([event(key, EventType.TRANSITION)], first[0].sequence)
        last = await data_bus.append(
            [event(key, EventType.TRANSITION), event(key, EventType.SUCCEEDED)], single.sequence
        )

        assert [each.replace(sequence=0, place=0, size=0) for each in first] == begun
        assert [(each.sequence, each.previous, each.place) for each in [*first, single, *last]] == [
            *((first[0].sequence, 0, place) for place in range(3)),
            (single.sequence, first[0].sequence, 0),
            *((last[0].sequence, single.sequence, place) for place in range(2)),
        ]
        assert await data_bus.query_history(key) == [*first, single, *last]
        assert await data_bus.query_history(key, after=first[0].sequence) == [single, *last]
        assert await data_bus.query_history(key, after=single.sequence) == last

    async def test_each_event_of_a_commit_is_slim_by_itself(self, data_bus: DataBus) -> None:
        key = new_key()
        memories = ["x" * 5000, "y", "z" * 5000]
        begun = [event(key, script="s" * 5000)]
        await data_bus.append(begun + [event(key, EventType.TRANSITION, memory=each) for each in memories], 0)

        started, *moved = await data_bus.query_history(key, slim=True)
        assert started.script == "s" * 5000
        assert [plain(each.memory) for each in moved] == ["…", "y", "…"]
        assert [each.size > 5000 for each in moved] == [True, False, True]

    async def test_the_same_commit_twice_is_one(self, data_bus: DataBus) -> None:
        key = new_key()
        mine = [event(key), event(key, EventType.TRANSITION), event(key, EventType.TRANSITION)]
        first = await data_bus.append(mine, 0)
        await data_bus.append([event(key, EventType.CANCEL_REQUESTED)], first[0].sequence)

        assert await data_bus.append(mine, 0) == first
        assert len(await data_bus.query_history(key)) == 4

    @pytest.mark.parametrize("share", [slice(1), slice(2), slice(1, None)], ids=["first", "most", "last"])
    async def test_a_commit_that_holds_other_events_is_another(self, data_bus: DataBus, share: slice) -> None:
        key = new_key()
        mine = [event(key, kind) for kind in (EventType.STARTED, EventType.TRANSITION, EventType.TRANSITION)]
        stored = await data_bus.append(mine[share], 0)

        with pytest.raises(Conflict, match=f"{key}: a commit of 3 events, started to transition"):
            await data_bus.append(mine, 0)
        assert await data_bus.query_history(key) == stored

    async def test_a_commit_that_meets_another_event_stores_nothing(self, data_bus: DataBus) -> None:
        key = new_key()
        begun = await data_bus.append([event(key), event(key, EventType.CLAIMED)], 0)
        (foreign,) = await data_bus.append([event(key, EventType.CANCEL_REQUESTED)], begun[0].sequence)
        mine = [event(key, EventType.TRANSITION), event(key, EventType.SUCCEEDED)]

        with pytest.raises(Conflict, match=str(key)):
            await data_bus.append(mine, begun[0].sequence)
        assert await data_bus.query_history(key) == [*begun, foreign]
        stored = await data_bus.append(mine, foreign.sequence)
        assert await data_bus.query_history(key) == [*begun, foreign, *stored]

    async def test_a_commit_too_large_for_a_message_is_refused_by_name(self, data_bus: DataBus) -> None:
        key = new_key()
        many = [event(key, EventType.TRANSITION, memory="x" * 2**18) for _ in range(5)]
        with pytest.raises(PayloadTooLarge, match=f"a commit of 5 events, transition to transition, of instance {key}"):
            await data_bus.append(many, 0)
        assert await data_bus.query_history(key) == []
        assert len(await data_bus.append(many[:3], 0)) == 3

    async def test_what_is_no_commit_is_a_mistake(self, data_bus: DataBus) -> None:
        key = new_key()
        for events in ([], [event(key), event(new_key())], [event(key)] * 1001):
            with pytest.raises(ValueError, match="expected 1 to 1000 of one instance"):
                await data_bus.append(events, 0)
        assert await data_bus.query_history(key) == []

    async def test_one_of_many_concurrent_appends_wins(self, data_bus: DataBus) -> None:
        key = new_key()
        last = (await data_bus.push_instance_event(event(key), 0)).sequence
        for _ in range(20):
            outcomes = await asyncio.gather(
                *(data_bus.push_instance_event(event(key, EventType.TRANSITION), last) for _ in range(50)),
                return_exceptions=True,
            )
            won = [each for each in outcomes if not isinstance(each, BaseException)]
            assert [type(each) for each in outcomes if isinstance(each, BaseException)] == [Conflict] * 49
            last = won[0].sequence

        history = await data_bus.query_history(key)
        assert len(history) == 21
        assert [each.previous for each in history[1:]] == [each.sequence for each in history[:-1]]

    async def test_refuses_a_payload_that_is_too_large_and_goes_on(self, data_bus: DataBus) -> None:
        key = new_key()
        with pytest.raises(PayloadTooLarge):
            await data_bus.push_instance_event(event(key, script="x" * 2**20), 0)
        with pytest.raises(PayloadTooLarge):
            await data_bus.write_status(status(key, script="x" * 2**20))

        assert (await data_bus.push_instance_event(event(key), 0)).sequence > 0

    async def test_a_status_is_written_over_the_one_named(self, data_bus: DataBus) -> None:
        key = new_key()
        first = await data_bus.write_status(status(key))
        second = await data_bus.write_status(status(key, sequence=first, status=StatusValue.COMPLETE))

        (stored,) = await data_bus.query_instance_status(key.namespace, key.instance_id)
        assert (stored.sequence, stored.status) == (second, StatusValue.COMPLETE)
        for outdated in (0, first):
            with pytest.raises(Conflict, match=str(key)):
                await data_bus.write_status(status(key, sequence=outdated))

    async def test_statuses_are_filtered(self, data_bus: DataBus) -> None:
        one, two = new_key("team-a"), new_key("team-a")
        three = InstanceKey("team-b", one.instance_id)
        for key in (one, two, three):
            await data_bus.write_status(status(key))

        async def keys(*filters: object) -> set[InstanceKey]:
            return {each.key for each in await data_bus.query_instance_status(*filters)}  # type: ignore[arg-type]

        assert await keys() == {one, two, three}
        assert await keys("team-a") == {one, two}
        assert await keys(None, one.instance_id) == {one, three}
        assert await keys("team-b", one.instance_id) == {three}
        assert await keys("team") == set()

    async def test_statuses_of_many_keys(self, data_bus: DataBus) -> None:
        written = [status(new_key()) for _ in range(2100)]
        sequences = await asyncio.gather(*map(data_bus.write_status, written))

        found = await data_bus.query_statuses([*(each.key for each in written), written[0].key, new_key()])

        assert {key: each.sequence for key, each in found.items()} == {
            each.key: sequence for each, sequence in zip(written, sequences, strict=True)
        }
        assert await data_bus.query_statuses([]) == {}

    async def test_large_statuses_of_many_keys(self, data_bus: DataBus) -> None:
        written = [status(new_key(), script="x" * 400_000) for _ in range(50)]
        for each in written:
            await data_bus.write_status(each)

        assert set(await data_bus.query_statuses([each.key for each in written])) == {each.key for each in written}
