"""What is declared, and what counts as a difference."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_operator.jetstream.topology import (
    EXECUTION,
    HISTORY,
    PARTITIONS,
    PROJECTION,
    Declared,
    TopologyOptions,
    consumers,
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
    declared = declared_stream(EXECUTION)
    assert mismatches(declared, {**declared.config, "subjects": declared.config["subjects"][::-1]}) == []


def test_another_number_of_partitions_is_a_mismatch() -> None:
    declared = declared_stream(PROJECTION)
    (source,) = declared.config["sources"]
    (transform,) = source["subject_transforms"]
    other = {**source, "subject_transforms": [{**transform, "dest": transform["dest"].replace("16", "8")}]}
    (difference,) = mismatches(declared, {**declared.config, "sources": [other]})
    assert difference.startswith("sources is")


def test_every_partition_has_one_consumer() -> None:
    subjects = [each.config["filter_subject"] for each in consumers(TopologyOptions()) if each.stream == PROJECTION]
    assert subjects == [f"projection.{number}.>" for number in range(PARTITIONS)]
