"""Requests of scripts: to where they may go, and once more where nobody knows what came of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.e2e.shell import Shell
from tests.e2e.world import JsonObject, World, assert_sound, drivers, key_of
from workflow_operator.history import EventType

pytestmark = pytest.mark.e2e

ORDER = """
function main(given) {
  transition(ordering, given);
  const answer = fetchSync(given.url, { method: "POST", body: { item: "book" }, timeout: 60 });
  transition(ordered, answer.ok ? answer.json() : { error: answer.error });
  sleep(1);
  return answer.ok ? answer.json() : answer.error;
}
function ordering() {}
function ordered() {}
"""
ALLOWED = {"WORKFLOW_OPERATOR_EGRESS_ALLOW": "127.0.0.1"}


class Shop:
    """Takes orders; a shop that ``hesitates`` keeps the answer ``at`` until it is released, counted from 1."""

    def __init__(self, *, hesitates: bool = False, at: int = 1) -> None:
        self.keys: list[str] = []
        self.asked = threading.Event()
        self.release = threading.Event()
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                shop.keys.append(self.headers["Idempotency-Key"])
                kept = len(shop.keys) == at
                if kept:
                    shop.asked.set()
                if hesitates and kept:
                    shop.release.wait(60)
                data = json.dumps({"order": 17, **body}).encode()
                self.send_response(201)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/orders"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


def allow_this_machine(world: World) -> None:
    """Two operators whose scripts may reach the shop, in the place of those that stand."""
    for each in list(world.stack.operators):
        each.terminate()
        each.wait()
    world.stack.operators.clear()
    for _ in range(2):
        world.stack.add_operator(**ALLOWED)


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.close()


def order(shop: Shop) -> JsonObject:
    return {"script": ORDER, "input": {"url": shop.url}}


def test_a_local_run_goes_where_its_user_goes(shell: Shell, shop: Shop) -> None:
    printed, told = shell("run", shell.file("order.js", ORDER), "--input", json.dumps({"url": shop.url}))
    assert json.loads(printed) == {"order": 17, "item": "book"}
    assert f'callCompleted   {{"method":"POST","url":"{shop.url}","status":201' in told
    assert len(shop.keys) == 1


def test_this_machine_is_refused_unless_it_is_allowed(world: World, shop: Shop) -> None:
    world.apply(("refused", order(shop)))
    run = world.ended(["refused"])["refused"]
    assert run["status"]["phase"] == "Complete"
    assert "127.0.0.1 is this machine, which is refused unless it is allowed" in run["status"]["output"]
    assert shop.keys == []


def test_a_request_without_a_recorded_answer_is_made_again_and_says_so(world: World) -> None:
    allow_this_machine(world)
    shop = Shop(hesitates=True)
    try:
        world.apply(("order", order(shop)))
        assert shop.asked.wait(60)
        key = key_of(world.run("order"))
        events = world.history_until(
            key, lambda events: events[-1].type is EventType.TRANSITION, "what was done before the request is stored"
        )
        world.operator_of(drivers(events)[-1]).kill()
        run = world.ended(["order"])["order"]
    finally:
        shop.close()
    assert run["status"]["output"] == {"order": 17, "item": "book"}
    events = world.history(key)
    assert_sound(events)
    assert len(drivers(events)) == 2
    assert [event.type for event in events].count(EventType.CALL_COMPLETED) == 1
    assert shop.keys == [f"{key.instance_id}-0.2"] * 2, "its receiver can see that it is the same"


STEPS = """
async function main({ url }) {
  const before = await step.do("before", async () => {
    return (await fetch(url, { method: "POST", body: { item: "pen" } })).json().order;
  });
  const made = await step.do("order", async (ctx) => {
    const answer = await fetch(url, { method: "POST", body: { item: "book" } });
    return { ...answer.json(), attempt: ctx.attempt };
  });
  await step.sleep("nap", "6s");
  return [before, made, await step.do("last", () => 1)];
}
"""


def test_a_step_that_was_cut_off_is_done_again_and_one_that_was_recorded_is_not(world: World) -> None:
    allow_this_machine(world)
    shop = Shop(hesitates=True, at=2)
    try:
        world.apply(("order", {"script": STEPS, "input": {"url": shop.url}}))
        assert shop.asked.wait(60)
        key = key_of(world.run("order"))
        events = world.history_until(
            key, lambda events: events[-1].type is EventType.CALL_COMPLETED, "the step before is stored"
        )
        world.operator_of(drivers(events)[-1]).kill()
        run = world.ended(["order"])["order"]
    finally:
        shop.close()
    # An attempt that was cut off is not counted.
    assert run["status"]["output"] == [17, {"order": 17, "item": "book", "attempt": 1}, 1]
    events = world.history(key)
    assert_sound(events)
    recorded = [event.function for event in events if event.type is EventType.CALL_COMPLETED]
    assert recorded == ["before", "order", "last"]
    assert shop.keys == [f"{key.instance_id}-0.1-1", *[f"{key.instance_id}-1.1-1"] * 2]
