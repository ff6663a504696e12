"""Commits: what is stored at once is read at once, or is an error of the one message, whatever its bytes are."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.events import KEY, by, commit, event, plain
from workflow_operator.history import (
    EventType,
    InstanceEvent,
    InstanceKey,
    commit_ids,
    decode_commit,
    decode_event,
    encode_commit,
    named,
)
from workflow_operator.history.commits import MAX_EVENTS
from workflow_operator.history.errors import InvalidInput, UnknownFormat

T = EventType
GOLDEN = Path(__file__).parent / "golden"
COMMITS = sorted(GOLDEN.glob("commit-*.json"))
SOUND = (GOLDEN / "commit-whole-run.json").read_bytes().rstrip(b"\n")
STARTED = (GOLDEN / "event-started.json").read_bytes().rstrip(b"\n")
TRANSITION = (GOLDEN / "event-transition.json").read_bytes().rstrip(b"\n")
SUCCEEDED = (GOLDEN / "event-succeeded.json").read_bytes().rstrip(b"\n")


@pytest.mark.parametrize("file", COMMITS, ids=lambda file: file.stem)
def test_a_commit_is_read_and_written_byte_for_byte(file: Path) -> None:
    data = file.read_bytes().rstrip(b"\n")
    events = decode_commit(data, sequence=7, previous=6)
    assert len(events) > 1
    assert encode_commit(events).data == data


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("event-*.json")), ids=lambda file: file.stem)
def test_a_commit_of_one_event_is_that_event_as_every_release_writes_it(file: Path) -> None:
    data = file.read_bytes().rstrip(b"\n")
    events = decode_commit(data, sequence=7, previous=6)
    assert events == [decode_event(data, sequence=7, previous=6)]
    assert encode_commit(events) == (data, [len(data)])


def test_what_is_stored_is_read_back_as_it_was_told() -> None:
    events = commit(T.STARTED, (T.TRANSITION, {"memory": {"n": 1}}), (T.SUCCEEDED, {"output": None}), sequence=9)
    encoded = encode_commit(events)
    stored = encoded.stored(events, sequence=9, previous=4)
    assert stored == decode_commit(encoded.data, sequence=9, previous=4, key=KEY)
    assert [(each.sequence, each.previous, each.place) for each in stored] == [(9, 4, 0), (9, 4, 1), (9, 4, 2)]
    assert sum(each.size for each in stored) == len(encoded.data)
    members = [json.dumps(each, separators=(",", ":")) for each in json.loads(encoded.data)["events"]]
    assert [each.size for each in stored[1:]] == [len(each) for each in members[1:]]


def test_what_all_events_of_a_commit_share_is_told_once() -> None:
    mine, other = by("a", 1), by("b", 2)
    for steps, told, left in (
        ([(T.CLAIMED, mine), (T.TRANSITION, mine)], mine, [None, None]),
        ([(T.CLAIMED, mine), (T.TRANSITION, other)], None, [mine, other]),
        ([T.STARTED, (T.TRANSITION, mine)], None, [None, mine]),
        ([T.STARTED, T.CANCELLED], None, [None, None]),
    ):
        events = commit(*steps, sequence=9)
        data = encode_commit(events).data
        head, members = json.loads(data), json.loads(data)["events"]
        assert head.get("executor") == (told and refers(told)["executor"])
        assert [each.get("executor") for each in members] == [each and refers(each)["executor"] for each in left]
        assert not [each for each in members if "instanceID" in each or "namespace" in each]
        assert [each.executor for each in decode_commit(data)] == [each.executor for each in events]
        assert {each.key for each in decode_commit(data)} == {KEY}


def refers(fields: dict[str, Any]) -> dict[str, Any]:
    executor = fields["executor"]
    return {"executor": {"id": executor.id, "epoch": executor.epoch}}


@pytest.mark.parametrize("missing", ["instanceID", "namespace"])
def test_an_event_of_its_own_tells_its_instance(missing: str) -> None:
    data = json.loads(STARTED)
    del data[missing]
    for key in (None, KEY):
        with pytest.raises(InvalidInput, match="history sequence 7"):
            decode_event(json.dumps(data).encode(), sequence=7, key=key)


def test_a_long_history_is_little_work_for_the_collector_of_cycles() -> None:
    events = decode_commit(SOUND, sequence=9, key=(key := decode_commit(SOUND)[0].key))
    assert not [each for each in events if gc.is_tracked(each) or gc.is_tracked(each.call) or gc.is_tracked(each.error)]
    assert {id(each.instance_id) for each in events} == {id(key.instance_id)}


def test_the_rest_of_a_payload_that_is_left_out_of_one_event_stays() -> None:
    events = commit(T.STARTED, (T.TRANSITION, {"memory": "x" * 5000}), (T.TRANSITION, {"memory": "y"}), sequence=9)
    read = decode_commit(encode_commit(events).data, slim=True)
    assert [plain(each.memory) for each in read] == [None, "…", "y"]
    assert sum(each.size for each in read) == len(encode_commit(events).data)


def test_a_commit_has_one_to_a_thousand_events_of_one_instance() -> None:
    other = event(T.TRANSITION, key=InstanceKey("team-b", KEY.instance_id))
    for wrong in ([], [event(T.STARTED), other], [event(T.TRANSITION)] * (MAX_EVENTS + 1)):
        with pytest.raises(ValueError, match="expected 1 to 1000 of one instance"):
            encode_commit(wrong)
    most = [event(T.TRANSITION)] * MAX_EVENTS
    assert len(decode_commit(encode_commit(most).data)) == MAX_EVENTS


def test_a_commit_is_named_by_what_is_in_it() -> None:
    assert named([event(T.CLAIMED)]) == "claimed event"
    assert named(commit(T.STARTED, T.CLAIMED, T.FAILED, sequence=1)) == "a commit of 3 events, started to failed,"


def test_the_ids_of_any_release_are_found() -> None:
    events = commit(T.STARTED, T.CLAIMED, sequence=1)
    expected = [str(each.event_id) for each in events]
    assert commit_ids(encode_commit(events).data) == expected
    assert commit_ids(encode_commit(events[:1]).data) == expected[:1]
    assert commit_ids(b'{"version":7,"type":"melted","eventID":"x"}') == ["x"]
    newer = b'{"version":9,"type":"commit","how":"new","events":[{"eventID":"a","version":7},{"eventID":"b"}]}'
    assert commit_ids(newer) == ["a", "b"]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"type":"commit"}', b'{"type":"commit","events":[1]}']
)
def test_what_has_no_ids_has_none(data: bytes) -> None:
    assert commit_ids(data) == []


def holding(*members: bytes, **changes: Any) -> bytes:
    """A commit with these members, which may be anything."""
    head = {"version": 3, "instanceID": str(KEY.instance_id), "namespace": KEY.namespace, "type": "commit"} | changes
    return json.dumps(head).encode()[:-1] + b',"events":[' + b",".join(members) + b"]}"


def changed(data: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(data) | changes).encode()


def test_commits_of_the_tests_are_read_in_other_spellings_too() -> None:
    assert len(decode_commit(holding(STARTED, TRANSITION, SUCCEEDED))) == 3
    assert len(decode_commit(holding(changed(STARTED), colour="red"), key=KEY)) == 1


POISON = {
    "no events": holding(),
    "events that are none": SOUND.replace(b'"events":[', b'"events":null,"more":['),
    "one event that is no list": holding(STARTED).replace(b"[{", b"{").replace(b"}]", b"}"),
    "a commit within": holding(STARTED, holding(TRANSITION)),
    "a commit of an older version within": holding(STARTED, holding(TRANSITION, version=1)),
    "another instance's event": holding(STARTED, changed(TRANSITION, instanceID=str(UUID(int=9)))),
    "the event of nobody": holding(STARTED, changed(TRANSITION, instanceID=str(UUID(int=0)))),
    "an executor that is none": changed(SOUND, executor="me"),
    "another namespace's event": holding(STARTED, changed(TRANSITION, namespace="team-b")),
    "another instance's commit": changed(SOUND, instanceID=str(UUID(int=9))),
    "no namespace": changed(SOUND, namespace="a.b"),
    "no instance": changed(SOUND, instanceID=None),
    "a second start": holding(STARTED, STARTED),
    "a start that is not first": holding(TRANSITION, STARTED, TRANSITION),
    "what follows the end": holding(STARTED, SUCCEEDED, TRANSITION),
    "two ends": holding(SUCCEEDED, SUCCEEDED),
    "a hundred thousand events": holding(*[TRANSITION] * 100_000),
    "a hundred thousand nothings": holding(*[b"{}"] * 100_000),
    "null within": holding(STARTED, b"null"),
    "text within": holding(STARTED, b'"started"'),
    "an event that is none": holding(STARTED, b"{}"),
    "an event with a bad time": holding(STARTED, changed(TRANSITION, time="9999-12-31T23:59:59-14:00")),
    "an event without an ID": holding(STARTED, changed(TRANSITION, eventID=None)),
    "an older version": changed(SOUND, version=2),
    "an impossible version": changed(SOUND, version=1.5),
    "no version": changed(SOUND, version=None),
    "cut": SOUND[:-9],
    "cut between two events": SOUND[: SOUND.index(b"},{") + 1],
    "more behind it": SOUND + b"}",
    "not UTF-8": SOUND.replace(b'"script":"', b'"script":"\xff'),
    "not UTF-8 in a value": SOUND.replace(b'"memory":{', b'"memory":{"\xff":1,'),
    "deep": holding(STARTED, TRANSITION[:-1] + b',"memory":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep outside": holding(STARTED)[:-1] + b',"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "brackets": b'{"type":"commit","events":' + b"[" * 2**20,
}


@pytest.mark.parametrize("slim", [False, True], ids=["whole", "slim"])
@pytest.mark.parametrize("data", POISON.values(), ids=POISON)
def test_a_broken_commit_is_invalid_input_and_nothing_else(data: bytes, slim: bool) -> None:
    with pytest.raises(InvalidInput, match="history sequence 7"):
        decode_commit(data, sequence=7, key=KEY, slim=slim)


NEWER = {
    "newer": changed(SOUND, version=4),
    "newer in everything": b'{"version":4,"type":"commit","instanceID":"x","packed":"..."}',
    "an event of a newer version": holding(STARTED, changed(TRANSITION, version=3)),
    "an event of an unknown type": holding(STARTED, changed(TRANSITION, type="paused")),
    "versions of every release": holding(STARTED, changed(TRANSITION, version=2), changed(TRANSITION, version=9)),
}


@pytest.mark.parametrize("data", NEWER.values(), ids=NEWER)
def test_a_commit_of_a_newer_release_is_told_apart(data: bytes) -> None:
    with pytest.raises(UnknownFormat, match=r"history sequence 7.*Upgrade"):
        decode_commit(data, sequence=7, key=KEY)


def test_events_of_both_versions_lie_side_by_side() -> None:
    large = (GOLDEN / "event-transition-large.json").read_bytes().rstrip(b"\n")
    assert [each.version for each in decode_commit(holding(STARTED, large, SUCCEEDED))] == [1, 2, 1]


def test_a_reader_that_knows_single_events_only_leaves_a_commit_alone() -> None:
    with pytest.raises(UnknownFormat, match=f"{KEY.instance_id}: format version 3, type commit"):
        decode_event(SOUND)


ANYTHING = st.sampled_from(
    [None, [], {}, 1, -1, 10**30, "commit", "started", "\ud800", [None], [[]], {"type": "commit"}, [{"type": "commit"}]]
)


@given(
    changes=st.dictionaries(st.sampled_from(["version", "type", "events", "instanceID", "namespace"]), ANYTHING),
    member=st.dictionaries(st.sampled_from(["version", "type", "eventID", "time", "events", "call"]), ANYTHING),
    cut=st.integers(0, 2000) | st.none(),
    noise=st.binary(max_size=3),
)
def test_no_commit_ends_its_reader(
    changes: dict[str, Any], member: dict[str, Any], cut: int | None, noise: bytes
) -> None:
    whole = json.loads(SOUND)
    whole["events"][1] |= member
    data = json.dumps(whole | changes).encode()
    if cut is not None:
        data = data[:cut] + noise + data[cut:]
    commit_ids(data)
    with contextlib.suppress(InvalidInput, UnknownFormat):
        events = decode_commit(data)
        assert decode_commit(encode_commit(events).data) == resized(events)


def resized(events: list[InstanceEvent]) -> list[InstanceEvent]:
    return encode_commit(events).stored(events, sequence=0, previous=0)


@pytest.mark.parametrize("read", [decode_commit, commit_ids])
def test_the_time_to_read_grows_with_the_bytes(read: Callable[[bytes], Any]) -> None:
    # As large as a message of NATS may be made; what grew faster would take hours.
    data = holding(*[b'{"type":"commit","events":['] * 300_000)
    with contextlib.suppress(InvalidInput):
        read(data)
