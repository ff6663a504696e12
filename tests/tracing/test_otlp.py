"""Spans over HTTP, to a receiver that decodes what arrives."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.fakes.collector import Collector, collecting
from tests.fakes.events import EPOCH, KEY, history
from tests.tracing.test_spans import STARTED, failed, sleep, step
from workflow_operator.history import EventType
from workflow_operator.history.errors import InvalidInput
from workflow_operator.tracing import open_exporter
from workflow_operator.tracing.spans import spans

pytestmark = pytest.mark.integration

T = EventType


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with collecting() as server:
        yield server


def plain(attributes: Any) -> dict[str, str | int]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def nanoseconds(seconds: int) -> int:
    return (int(EPOCH.timestamp()) + seconds) * 1_000_000_000


def test_what_arrives_is_what_the_history_says(collector: Collector) -> None:
    made = spans(history(STARTED, step(1, "a"), sleep(2), (T.WAITING, {}), failed()))
    exporter = open_exporter(collector.url, "replica-1")
    assert exporter.export(made)
    ((path, _, message),) = collector.requests
    assert path == "/v1/traces"
    (resource,) = message.resource_spans
    assert plain(resource.resource.attributes).items() >= {
        ("service.name", "workflow-operator"),
        ("service.instance.id", "replica-1"),
    }
    root, a, nap = collector.spans()
    assert [span.name for span in (root, a, nap)] == ["WorkflowRun", "a", "sleep"]
    assert {span.trace_id for span in (root, a, nap)} == {KEY.instance_id.bytes}
    assert (root.parent_span_id, a.parent_span_id, nap.parent_span_id) == (b"", root.span_id, a.span_id)
    assert a.span_id.hex() == "8b0e1427e65e25e7"
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (nanoseconds(1), nanoseconds(5))
    assert (root.status.code, a.status.code, nap.status.code) == (
        Status.STATUS_CODE_ERROR, Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET,
    )  # fmt: skip
    assert root.status.message == "TypeError: x is not a function (line 3, column 5)"
    assert plain(root.attributes)["workflow.steps"] == 1
    assert [(each.name, each.time_unix_nano) for each in root.events] == [("parked", nanoseconds(4))]
    exporter.close()


def test_a_long_trace_comes_in_several_requests(collector: Collector) -> None:
    made = spans(history(STARTED, *(step(number, "f") for number in range(1, 1200)), T.SUCCEEDED))
    assert open_exporter(collector.url, "replica-1").export(made)
    assert len(collector.requests) == 3
    assert len({span.span_id for span in collector.spans()}) == len(made) == 1200


def test_the_standard_variables_count(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    assert open_exporter(collector.url, "replica-1").export(spans(history(STARTED, T.SUCCEEDED)))
    ((_, headers, message),) = collector.requests
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == "Bearer abc"
    assert ("deployment.environment.name", "test") in plain(message.resource_spans[0].resource.attributes).items()


def test_a_date_that_no_trace_can_hold_costs_no_other_trace(collector: Collector) -> None:
    far = spans(history((T.STARTED, {"time": datetime(9999, 12, 31, tzinfo=UTC)}), T.SUCCEEDED))
    assert open_exporter(collector.url, "replica-1").export([*far, *spans(history(STARTED, T.SUCCEEDED))])
    assert len(collector.spans()) == 2


@pytest.mark.parametrize("suffix", ["", "/", "/v1/traces"])
def test_the_path_is_added_once(collector: Collector, suffix: str) -> None:
    assert open_exporter(collector.url + suffix, "replica-1").export(spans(history(STARTED, T.SUCCEEDED)))
    assert [path for path, _, _ in collector.requests] == ["/v1/traces"]


def test_a_refusal_is_told(collector: Collector) -> None:
    collector.status = 400
    assert not open_exporter(collector.url, "replica-1").export(spans(history(STARTED, T.SUCCEEDED)))


def test_who_is_closed_waits_for_no_collector(collector: Collector) -> None:
    collector.status = 503
    exporter = open_exporter(collector.url, "replica-1")
    answers: list[bool] = []
    made = spans(history(STARTED, T.SUCCEEDED))
    sending = threading.Thread(target=lambda: answers.append(exporter.export(made)))
    sending.start()
    exporter.close()
    sending.join(timeout=9)
    assert answers == [False]


@pytest.mark.parametrize("endpoint", ["collector:4317", "grpc://collector:4317", "/v1/traces"])
def test_what_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidInput, match="expected a URL like http://collector:4318"):
        open_exporter(endpoint, "replica-1")


def test_who_lacks_opentelemetry_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **named: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidInput, match=r"install workflow-operator\[tracing\], or unset"):
        open_exporter("http://127.0.0.1:1", "replica-1")
