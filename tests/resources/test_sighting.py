"""What is read of an object's JSON, and what is not even built."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from workflow_operator.resources.sighting import UNREADABLE_STATUS, identities, page, shows_end, sighting, watch_event

METADATA = {"name": "run", "namespace": "a", "uid": "u", "resourceVersion": "7", "generation": 1}
STATUS = {"observedGeneration": 1, "phase": "Running", "conditions": [], "steps": 2, "historySequence": 9}
OBJECT: dict[str, Any] = {
    "apiVersion": "g/v1",
    "kind": "WorkflowRun",
    "metadata": METADATA | {"labels": {"a": "b"}, "annotations": {"a": "b"}, "managedFields": [{"manager": "x"}]},
    "spec": {"script": "1", "input": [1]},
    "status": STATUS | {"memory": [1], "output": {"a": None}, "ofALaterRelease": 1},
}
SEEN = {"apiVersion": "g/v1", "kind": "WorkflowRun", "metadata": METADATA, "status": STATUS}


def text(value: object = None, **fields: Any) -> bytes:
    return json.dumps(OBJECT | fields if value is None else value).encode()


def test_spec_values_labels_and_annotations_are_left_out() -> None:
    assert sighting(text()) == SEEN


def test_there_may_be_no_status_yet() -> None:
    assert "status" not in sighting(text({"metadata": METADATA, "spec": {}}))


@pytest.mark.parametrize("status", ["text", 7, None, [], '{"steps": 1e999}'])
def test_a_status_that_is_none_is_told(status: Any) -> None:
    raw = text(status="HERE").replace(
        b'"HERE"', status.encode() if status == '{"steps": 1e999}' else text([status])[1:-1]
    )
    assert sighting(raw) == SEEN | {"status": UNREADABLE_STATUS}


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"metadata": 1}', b"\xff", b'{"metadata": {}'])
def test_what_is_no_object(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        sighting(data)


@pytest.fixture
def deep() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(25_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("deep")
def test_as_deep_as_the_api_server_takes_it() -> None:
    assert sighting(text(spec="DEEP").replace(b'"DEEP"', b"[" * 9_990 + b"]" * 9_990)) == SEEN


def test_deeper_than_can_be_followed() -> None:
    with pytest.raises(ValueError, match="deeper"):
        sighting(text(spec="DEEP").replace(b'"DEEP"', b"[" * 9_990 + b"]" * 9_990))


@pytest.mark.parametrize("item", [b"[],", b'{"":0},', b'"x",', b"0,"])
def test_what_is_left_out_costs_nothing(item: bytes) -> None:
    items = b"[" + item * (1_000_000 // len(item)) + b"0]"
    raw = text(spec="BIG", metadata=METADATA | {"managedFields": "BIG"}, status=STATUS | {"memory": "BIG"})
    raw = raw.replace(b'"BIG"', items)
    tracemalloc.start()
    try:
        seen = sighting(raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The status is copied once, as it stands; nothing in it is built.
    assert (seen, peak < len(items) + 20_000) == (SEEN, True), peak


def test_events_of_a_watch() -> None:
    assert watch_event(text({"type": "ADDED", "object": OBJECT})) == ("ADDED", SEEN, text(OBJECT))
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "8"}}}
    gone = {"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "code": 410}}
    found = [watch_event(text(each)) for each in (bookmark, gone)]
    assert [{"type": each.kind, "object": each.object} for each in found] == [bookmark, gone]


@pytest.mark.parametrize("line", [b"{", b"{}", b'{"type": 7, "object": {}}', b'{"type": "ADDED", "object": 7}'])
def test_what_is_no_event_of_a_watch(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        watch_event(line)


def test_one_object_of_a_page_does_not_hide_the_others() -> None:
    head = {"kind": "WorkflowRunList", "apiVersion": "g/v1", "metadata": {"continue": "x"}}
    found, faults = page(text(head | {"items": [OBJECT, 5, OBJECT]}))
    assert found == head | {"items": [SEEN, SEEN]}
    [fault] = faults
    assert fault.startswith("b'5': ")
    assert page(text(head | {"items": None})).page["items"] == []
    with pytest.raises(ValueError, match=r"."):
        page(b"[]")


def test_of_those_who_are_there_only_the_uids_are_read() -> None:
    labels = {f"{number}": "" for number in range(20_000)}
    each = {"metadata": METADATA | {"labels": labels, "managedFields": [{"fieldsV1": {"f:input": labels}}]}}
    raw = text({"metadata": {"continue": "x"}, "items": [each, each]})
    tracemalloc.start()
    try:
        found = identities(raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found, peak < 20_000) == ((["u", "u"], "x"), True), peak
    assert identities(b'{"metadata": {}, "items": null}') == ([], "")


@pytest.mark.parametrize("data", [b"", b"[]", b'{"items": []}', b'{"metadata": {}, "items": [{}]}'])
def test_what_is_no_list_of_anybody(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        identities(data)


FINISHED = {"type": "Finished", "status": "True"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Complete", "conditions": [{"type": "Ready", "status": "False"}, FINISHED]}, True),
        ({"phase": "Failed", "conditions": [FINISHED]}, True),
        ({"phase": "Cancelled", "conditions": [FINISHED]}, True),
        ({"phase": "Running", "conditions": [FINISHED]}, False),
        ({"phase": "Complete", "conditions": [FINISHED | {"status": "False"}]}, False),
        ({"phase": "Complete", "conditions": []}, False),
        ({"phase": "Complete"}, False),
        ({"phase": "Complete", "conditions": "Finished"}, False),
        ({"phase": "Complete", "conditions": ["Finished", None, [FINISHED]]}, False),
        ({"phase": ["Complete"], "conditions": [FINISHED]}, False),
        (UNREADABLE_STATUS, False),
        (None, False),
    ],
)
def test_what_shows_an_end(status: Any, expected: bool) -> None:
    assert shows_end({"metadata": {}, "status": status}) is expected
