"""What is declared, and what counts as a difference."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from workflow_operator.jetstream.streams.topology import (
    HISTORY,
    LANES,
    PARTITIONS,
    PROJECTION,
    QUEUE,
    TIMERS,
    Declared,
    TopologyOptions,
    consumers,
    lane_of,
    mismatches,
    streams,
)


def declared_stream(name: str) -> Declared:
    return next(each for each in streams(TopologyOptions()) if each.name == name)


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({}, []),
        # The administrator's to choose.
        ({"num_replicas": 3, "compression": "none", "placement": {"cluster": "x"}, "storage": "memory"}, []),
        ({"description": "ours", "duplicate_window": 1, "metadata": {"a": "b"}, "max_msg_size": 5}, []),
        # What the server spells out or leaves out.
        ({"retention": "limits", "max_msgs": -1, "max_bytes": 0, "sealed": False, "mirror": None}, []),
        # What correctness rests on.
        ({"max_age": 3600}, ["max_age is 3600, expected -1"]),
        ({"deny_delete": False}, ["deny_delete is false, expected true"]),
        (
            {"subjects": ["instances.>"], "max_msgs": 5},
            ["max_msgs is 5, expected -1", 'subjects is ["instances.>"], expected ["instances.history.*.*"]'],
        ),
    ],
)
def test_mismatches(changes: dict[str, Any], differences: list[str]) -> None:
    declared = declared_stream(HISTORY)
    assert mismatches(declared, {**declared.config, **changes}) == differences


def test_the_order_of_subjects_does_not_matter() -> None:
    declared = declared_stream(TIMERS)
    assert mismatches(declared, {**declared.config, "subjects": declared.config["subjects"][::-1]}) == []


def test_another_number_of_partitions_is_a_mismatch() -> None:
    declared = declared_stream(PROJECTION)
    (source,) = declared.config["sources"]
    (transform,) = source["subject_transforms"]
    other = {**source, "subject_transforms": [{**transform, "dest": transform["dest"].replace("16", "8")}]}
    (difference,) = mismatches(declared, {**declared.config, "sources": [other]})
    assert difference.startswith("sources is")


def test_every_lane_has_one_consumer_and_every_namespace_one_lane() -> None:
    subjects = [each.config["filter_subject"] for each in consumers(TopologyOptions()) if each.stream == QUEUE]
    assert subjects == [f"execution.queue.{lane}.>" for lane in range(LANES)]
    lanes = Counter(lane_of(f"namespace-{number}") for number in range(1600))
    assert set(lanes) == set(range(LANES))
    assert max(lanes.values()) < 160
    # The same in every release: replicas of two of them share the queue.
    assert [lane_of(f"team-{name}") for name in "abcdef"] == [6, 3, 4, 14, 0, 7]


def test_the_queue_knows_no_schedules_and_the_timers_are_not_in_it() -> None:
    queue, timers = declared_stream(QUEUE), declared_stream(TIMERS)
    assert "allow_msg_schedules" not in queue.config
    assert timers.config["allow_msg_schedules"]
    assert not set(queue.config["subjects"]) & set(timers.config["subjects"])


def test_every_partition_has_one_consumer() -> None:
    subjects = [each.config["filter_subject"] for each in consumers(TopologyOptions()) if each.stream == PROJECTION]
    assert subjects == [f"projection.{number}.>" for number in range(PARTITIONS)]
