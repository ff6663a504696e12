"""Traces of runs, as a collector gets them from operators that die."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e.conftest import running
from tests.e2e.scripts import QUICK, STEPS, TICKING
from tests.e2e.world import World, drivers, transitions
from tests.fakes.collector import collecting
from workflow_operator.tracing.spans import spans

pytestmark = pytest.mark.e2e


def test_each_span_of_each_run_arrives_once_whoever_dies(world: World) -> None:
    with collecting() as collector:
        world.apply(("before", {"script": QUICK}))
        world.ended(["before"])
        for operator in running(world.stack.operators):
            operator.stop()
        # What ended before they were there, they do not export.
        endpoint = {"WORKFLOW_OPERATOR_OTLP_ENDPOINT": collector.url}
        world.stack.add_operator(**endpoint)
        world.stack.add_operator(**endpoint)
        names = [f"ticking-{number}" for number in range(4)]
        world.apply(*((name, {"script": TICKING}) for name in names))
        for name in names:
            world.history_until(world.key(name), lambda events: transitions(events) >= 5, "five steps")
        # Not sooner: until the two know of each other, both hold a run to be theirs.
        world.apply(("quick", {"script": QUICK}))
        keys = [world.key(name) for name in ("quick", *names)]
        world.operator_of(drivers(world.history(keys[1]))[-1]).kill()
        world.ended(["quick", *names])

        expected = Counter(span.span_id for history in world.histories(keys).values() for span in spans(history))
        assert len(expected) == len(keys) + len(names) * (STEPS + STEPS // 2)
        world.until(lambda: len(collector.spans()) >= len(expected), "all spans have arrived")
        assert Counter(int.from_bytes(span.span_id, "big") for span in collector.spans()) == expected
        for operator in running(world.stack.operators):
            operator.stop()
