"""From histories to spans."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.fakes.events import EPOCH, KEY, at, event, history
from workflow_operator.history import CallRecord, ErrorInfo, EventType, ExecutorRef, InstanceEvent, Origin
from workflow_operator.tracing import spans as module
from workflow_operator.tracing.spans import Span, span_id, spans

T = EventType
SECRET = {"password": "hunter2"}
A, B = ExecutorRef(id="a", epoch=0), ExecutorRef(id="b", epoch=1)
STARTED = (
    T.STARTED,
    {"script": "hunter2", "input": SECRET, "entrypoint": "main", "origin": Origin(cluster="uid-1", name="order")},
)


def call(number: int, name: str) -> dict[str, Any]:
    return {"call": CallRecord(index=f"0.{number}", name=name, digest="d"), "executor": A}


def step(number: int, function: str) -> Any:
    return (T.TRANSITION, {**call(number, "transition"), "function": function, "memory": SECRET})


def sleep(number: int) -> Any:
    return (T.TIMER_STARTED, {**call(number, "sleep"), "fire_at": at(100)})


def fired(number: int) -> Any:
    return (T.TIMER_FIRED, call(number, "sleep"))


def attempt(kind: EventType, number: int, name: str | None, begun: float, **fields: Any) -> Any:
    made = call(number, "step.do" if name else "fetch")
    return (kind, {**made, "function": name, "started_at": at(begun), **fields})


def failed(**fields: Any) -> Any:
    return (T.FAILED, {"error": ErrorInfo(name="TypeError", message="x is not a function", line=3, column=5), **fields})


SUCCEEDED = (T.SUCCEEDED, {"output": SECRET})


def drawn(events: list[InstanceEvent]) -> list[tuple[str, str | None, float, float]]:
    """Of each span: name, name of its parent, and when it begins and ends in seconds."""
    found = spans(events)
    names = {span.span_id: span.name for span in found}
    assert len(names) == len(found)
    assert {span.trace_id for span in found} <= {KEY.instance_id.int}
    return [
        (
            span.name,
            None if span.parent_id is None else names[span.parent_id],
            (span.begin - EPOCH).total_seconds(),
            (span.end - EPOCH).total_seconds(),
        )
        for span in found
    ]


RUN = "WorkflowRun"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([], [], id="no history"),
        pytest.param([SUCCEEDED], [], id="without its beginning"),
        pytest.param([STARTED, step(1, "a")], [], id="not ended"),
        pytest.param([STARTED, SUCCEEDED], [(RUN, None, 1, 2)], id="no step"),
        pytest.param(
            [
                STARTED,
                attempt(T.ATTEMPT_FAILED, 1, "order", 1.5, attempt=1),
                step(2, "a"),
                attempt(T.CALL_COMPLETED, 1, "order", 3.5, attempt=2),
                attempt(T.CALL_COMPLETED, 3, None, 4.5),
                SUCCEEDED,
            ],
            [
                (RUN, None, 1, 6),
                ("order", RUN, 1.5, 2),
                ("a", RUN, 3, 6),
                ("order", "a", 3.5, 4),
                ("fetch", "a", 4.5, 5),
            ],
            id="each attempt and each request",
        ),
        pytest.param(
            [STARTED, step(1, "a"), step(2, "b"), SUCCEEDED],
            [(RUN, None, 1, 4), ("a", RUN, 2, 3), ("b", RUN, 3, 4)],
            id="a step lasts until the next",
        ),
        pytest.param(
            [STARTED, sleep(1), fired(1), step(2, "a"), sleep(3), (T.WAITING, {}), fired(3), SUCCEEDED],
            [(RUN, None, 1, 8), ("sleep", RUN, 2, 3), ("a", RUN, 4, 8), ("sleep", "a", 5, 7)],
            id="sleeps in the run and in a step",
        ),
        pytest.param(
            [STARTED, step(1, "a"), sleep(2), (T.CANCEL_REQUESTED, {}), (T.CANCELLED, {})],
            [(RUN, None, 1, 5), ("a", RUN, 2, 5), ("sleep", "a", 3, 5)],
            id="cancelled in its sleep",
        ),
        pytest.param(
            [STARTED, step(1, "a"), (T.CLAIMED, {"executor": B}), step(2, "b"), failed()],
            [(RUN, None, 1, 5), ("a", RUN, 2, 4), ("b", RUN, 4, 5)],
            id="taken over",
        ),
    ],
)
def test_spans(steps: list[Any], expected: list[Any]) -> None:
    assert drawn(history(*steps)) == expected


def test_identities_are_those_of_the_instance_and_of_its_calls() -> None:
    events = history(STARTED, step(1, "a"), SUCCEEDED)
    root, a = spans(events)
    assert root.trace_id == a.trace_id == KEY.instance_id.int
    assert (root.span_id, a.span_id) == (span_id(KEY, "run"), span_id(KEY, "0.1"))
    # Frozen: another release must not give a span another identity.
    assert f"{a.span_id:016x}" == "8b0e1427e65e25e7"
    assert spans(events) == [root, a]
    other = [each.replace(instance_id=UUID(int=5)) for each in events]
    assert not {span.span_id for span in spans(other)} & {root.span_id, a.span_id}


def test_attributes_name_the_run_and_hold_no_value() -> None:
    events = history(STARTED, step(1, "a"), (T.OUTPUT, {"output": SECRET}), (T.CLAIMED, {"executor": B}), SUCCEEDED)
    root, a = spans(events)
    common = {"k8s.namespace.name": "team-a", "workflow.instance": str(KEY.instance_id), "workflow.run": "order"}
    assert root.attributes == common | {
        "workflow.function": "main",
        "workflow.outcome": "succeeded",
        "workflow.steps": 1,
        "workflow.executors": 2,
        "k8s.cluster.uid": "uid-1",
    }
    assert a.attributes == common | {"workflow.function": "a"}
    assert "hunter2" not in repr([root, a])


def test_a_run_without_an_object_has_no_name() -> None:
    (root,) = spans(history(T.STARTED, T.SUCCEEDED))
    assert not {"workflow.run", "workflow.function", "k8s.cluster.uid"} & root.attributes.keys()


def test_the_step_last_begun_failed_and_so_did_the_run() -> None:
    root, a, b = spans(history(STARTED, step(1, "a"), step(2, "b"), failed()))
    text = "TypeError: x is not a function (line 3, column 5)"
    assert (root.error, a.error, b.error) == (text, None, text)
    assert root.attributes["error.type"] == "TypeError"
    assert root.attributes["workflow.outcome"] == "failed"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(T.CLAIMED, {"executor": B})], [("taken over", 2, "b")]),
        (
            [(T.CLAIMED, {"executor": A}), (T.CLAIMED, {"executor": B})],
            [("taken over", 2, "a"), ("taken over", 3, "b")],
        ),
        (
            [sleep(1), (T.WAITING, {"executor": A}), (T.CLAIMED, {"executor": B})],
            [("parked", 3, "a"), ("woken", 4, "b")],
        ),
        ([(T.OUTPUT, {"output": SECRET, "executor": A})], [("finish", 2, "a")]),
        ([(T.CANCEL_REQUESTED, {"reason": "deleted"})], [("cancel requested", 2, None)]),
    ],
)
def test_what_happens_at_one_moment_is_an_event_of_the_run(steps: list[Any], expected: list[Any]) -> None:
    root = spans(history(STARTED, *steps, SUCCEEDED))[0]
    found = [
        (each.name, (each.time - EPOCH).total_seconds(), each.attributes.get("workflow.executor"))
        for each in root.moments
    ]
    assert found == expected


def test_a_clock_that_goes_back_makes_no_span_end_before_it_begins() -> None:
    late = event(T.TRANSITION, sequence=2, previous=1, time=at(50), **call(1, "transition"), function="a")
    events = [*history(STARTED), late, *history(SUCCEEDED, first=3)]
    assert all(span.begin <= span.end for span in spans(events))


def test_a_long_run_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SPANS", 3)
    monkeypatch.setattr(module, "MOST_MOMENTS", 2)
    marks = [step(number, f"f{number}") for number in range(1, 6)]
    found: list[Span] = spans(history(STARTED, *marks, *[(T.CLAIMED, {"executor": B})] * 3, SUCCEEDED))
    assert [span.name for span in found] == [RUN, "f1", "f2"]
    assert found[0].attributes["workflow.spans_left_out"] == 3
    assert found[0].attributes["workflow.steps"] == 5
    assert len(found[0].moments) == 2


def test_a_name_of_any_length_fits() -> None:
    _, long = spans(history(STARTED, step(1, "f" * 5000), SUCCEEDED))
    assert (len(long.name), len(str(long.attributes["workflow.function"]))) == (128, 128)
