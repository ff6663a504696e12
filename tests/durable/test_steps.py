"""step.do: what is recorded, what is tried again, and what the script gets."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

import pytest

from tests.fakes.http import answering
from tests.fixtures.driven import Driver
from workflow_operator.engine.outcome import Parked
from workflow_operator.history import EventType
from workflow_operator.history.errors import Deadlock, NonDeterminism, Thrown

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ONCE = "{ retries: { limit: 0 } }"
FAST = "{ retries: { limit: 2, delay: 1, jitter: 0 } }"


async def test_a_script_of_every_kind_of_call_goes_on_behind_any_event(drive: Driver) -> None:
    script = """
    async function main() {
      const seen = [Math.random()];
      const quote = await step.do("quote", async (ctx) => {
        const answer = await fetch("http://shop/quote", { method: "POST", body: { chance: Math.random() } });
        return { total: answer.json().total, key: ctx.idempotencyKey, chance: Math.random() };
      });
      await step.sleep("nap", "5ms");
      await step.sleepUntil("until", new Date(1e12));
      const answer = await fetch("http://shop/order");
      const all = await Promise.all([1, 2, 3].map(async (i) => {
        const one = await step.do("one " + i, () => i);
        return step.do("ten", () => one * 10);
      }));
      transition(next, { all });
      const bad = await step.do("bad", %s, (ctx) => { throw new TypeError("no " + ctx.attempt) }).catch((e) => [e.name, e.attempts]);
      const race = await step.race({ slow: (signal) => step.sleep("slow", "1 day", { signal }), fast: () => step.do("fast", () => "x") });
      const list = await step.map([1, 2, 3, 4], { concurrency: 2 }, (x) => step.do("map", () => x * 2));
      finish({ early: true });
      return { quote, all, bad, race, list, text: answer.text(), uuid: uuid(), seen: [...seen, Math.random()] };
    }
    function next(memory) { return memory; }
    """
    first = await drive.everywhere(script % FAST, answer=answering(b'{"total":3}'))
    assert first.output == {"early": True}
    kinds = {event.type for event in first.history}
    assert kinds >= {EventType.CALL_COMPLETED, EventType.TIMER_FIRED, EventType.ATTEMPT_FAILED, EventType.TRANSITION}
    # What a step asked for is in no history.
    assert not any("quote" in str(event.result) for event in first.history if event.function is None)


async def test_a_recorded_step_is_not_run_and_shifts_no_random_number(drive: Driver) -> None:
    script = """
    async function main() {
      const drawn = await step.do("draw", () => [Math.random(), uuid()]);
      const lost = new AbortController();
      const loser = step.do("lost", { signal: lost.signal }, async () => { Math.random(); await new Promise(() => {}) }).catch((e) => e.name);
      await step.do("other", async () => { await fetch("http://a/"); return Math.random() });
      lost.abort();
      return [drawn, await loser, Math.random(), uuid()];
    }
    """
    first = await drive.everywhere(script)
    assert first.output[1] == "AbortError"
    assert len(set(map(str, first.output))) == 4


async def test_a_synchronous_sleep_keeps_what_is_under_way(drive: Driver) -> None:
    script = """async function main() {
      const answer = fetch("http://a/"), other = step.do("a", () => 1);
      await step.do("first", () => 0);
      sleep(1);
      return [(await answer).status, await other];
    }"""
    first = await drive.everywhere(script, racing=True)
    assert (first.output, len(first.requests)) == ([200, 1], 1)


async def test_a_step_that_lost_a_race_is_not_run_again(drive: Driver) -> None:
    script = """
    async function main() {
      const won = await step.race({
        slow: (signal) => step.do("slow", { signal }, async () => { log("slow runs"); await new Promise(() => {}) }),
        fast: () => step.sleep("fast", 5),
      });
      await step.sleep("later", 5);
      return won.winner;
    }
    """
    first = await drive.everywhere(script)
    assert (first.output, first.lines) == ("fast", ["slow runs"])
    assert first.types()[:2] == ["timerStarted fast", "timerFired fast"]
    # Once the history says who won, the loser does not even begin.
    for length in range(3, len(first.history) + 1):
        assert (await drive(script, first.history[:length])).lines == []


async def test_what_others_have_seen_is_stored_before_the_script_goes_on(drive: Driver) -> None:
    script = """
    async function main() {
      await step.do("computes", () => 1);
      await step.do("asks", async () => { await fetch("http://a/") });
      transition(next, 1);
      await step.do("fails", { retries: { limit: 1, delay: 1 } }, (ctx) => { if (ctx.attempt < 2) throw new Error("x") });
      transition(next, 2);
    }
    function next() {}
    """
    first = await drive(script)
    commits = {name: event.sequence for name, event in zip(first.types(), first.history[1:], strict=True)}
    # What computes only is gathered until something outside is done.
    assert commits["callCompleted computes"] < commits["callCompleted asks"] < commits["transition next"]
    assert commits["attemptFailed fails"] < commits["callCompleted fails"] == commits["transition next"]


VALUES = [
    ("() => {}", "undefined"),
    ("() => null", "null"),
    ("() => ({ at: new Date(0), gone: undefined, s: '2026-03-15T16:00:00-07:00' })", '{"at":"1970-01-01T00:00:00.000Z","s":"2026-03-15T16:00:00-07:00"}'),
    ("async () => 2 ** 60", "1152921504606847000"),
    ("() => ({ then(settle) { settle(5) } })", "5"),
    ("() => ({ __proto__: null, a: 1 })", '{"a":1}'),
]  # fmt: skip


@pytest.mark.parametrize(("function", "gets"), VALUES)
async def test_a_step_gives_what_is_recorded_of_its_value(drive: Driver, function: str, gets: str) -> None:
    script = f"async function main() {{ const v = await step.do('a', {function}); return v === undefined ? 'undefined' : JSON.stringify(v) }}"
    assert (await drive.everywhere(script)).output == gets


REFUSED = [
    ("() => ({ m: [new Map()] })", "NotSerializable", "step.do: the result of a holds a Map at m[0]: use Object.fromEntries(map)"),
    ("() => 1n", "NotSerializable", "BigInt"),
    ("() => NaN", "NotSerializable", "NaN"),
    ("async () => [Promise.resolve(1)]", "NotSerializable", "a promise at [0]"),
    ("() => 'x'.repeat(300000)", "PayloadTooLarge", "300002 bytes"),
    ("() => transition(next, 1)", "NestedCall", "transition: called while step a was running"),
    ("() => sleep(1)", "NestedCall", "sleep: called while step a was running"),
    ("() => finish(1)", "NestedCall", "finish: called while step a was running"),
    ("() => step.do('in', () => 1)", "NestedCall", "step.do: called while step a was running"),
    ("async () => { await step.sleep('in', 1) }", "NestedCall", "step.sleep: called while step a was running"),
    ("() => missing", "ReferenceError", "missing is not defined"),
    ("() => getSecret('x')", "NotAvailable", "not available"),
    ("() => { throw new NonRetryableError('no') }", "NonRetryableError", "no"),
    ("() => { throw Object.assign(new Error('no'), { retryable: false }) }", "Error", "no"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "name", "message"), REFUSED)
async def test_what_would_fail_alike_is_not_tried_again(drive: Driver, function: str, name: str, message: str) -> None:
    script = f"""async function main() {{ try {{ await step.do('a', {function}) }} catch (e) {{ return [e.name, e.message, e.step, e.attempts] }} }}
    function next() {{}}"""
    first = await drive.everywhere(script)
    assert (first.output[0], *first.output[2:]) == (name, "a", 1)
    assert message in first.output[1]


async def test_an_error_is_the_same_the_first_time_as_in_a_replay(drive: Driver) -> None:
    script = f"""
    class CardError extends Error {{ code = "declined"; constructor(m, o) {{ super(m, o); this.name = "CardError" }} }}
    async function main() {{
      try {{
        await step.do("charge", {ONCE}, () => {{ throw new CardError("no", {{ cause: new TypeError("deep", {{ cause: "text" }}) }}) }});
      }} catch (e) {{
        return [e instanceof Error, e instanceof CardError, e.name, e.message, e.code, e.cause instanceof TypeError, e.cause.message,
          e.cause.cause.message, e.stack];
      }}
    }}"""
    first = await drive.everywhere(script)
    *told, stack = first.output
    assert told == [True, False, "CardError", "no", "declined", True, "deep", "text"]
    assert stack.splitlines()[0] == "CardError: no"
    assert "workflow.js:5:" in stack


@pytest.mark.parametrize(
    ("thrown", "gets"),
    [
        ("'text'", ["Error", "text"]),
        ("null", ["Error", "null"]),
        ("{ a: 1 }", ["Error", '{"a":1}']),
        ("new RangeError('r')", ["RangeError", "r"]),
        ("new NonRetryableError('n', { name: 'Mine', data: { x: 1 } })", ["Mine", "n"]),
    ],
)
async def test_whatever_is_thrown_arrives_as_an_error(drive: Driver, thrown: str, gets: list[str]) -> None:
    script = f"async function main() {{ try {{ await step.do('a', {ONCE}, () => {{ throw {thrown} }}) }} catch (e) {{ return [e instanceof Error, e.name, e.message] }} }}"
    assert (await drive.everywhere(script)).output == [True, *gets]


async def test_where_a_step_failed_is_the_place_that_the_run_tells(drive: Driver) -> None:
    script = f"async function main() {{\n  await step.do('a', {ONCE}, () => {{\n    null.x;\n  }});\n}}"
    first = await drive.everywhere(script)
    assert isinstance(first.error, Thrown)
    assert (first.error.name, first.error.line) == ("TypeError", 3)
    assert 'step: "a"' in first.error.message


async def test_attempts_and_pauses_are_read_off_the_history(drive: Driver) -> None:
    script = f"""async function main() {{
      return await step.do("charge", {FAST}, (ctx) => {{
        log(ctx.attempt);
        if (ctx.attempt < 3) throw new Error("busy " + ctx.attempt);
        return [ctx.attempt, ctx.previousError, ctx.step, ctx.config.retries.limit];
      }});
    }}"""
    first = await drive.everywhere(script)
    assert first.output == [3, {"name": "Error", "message": "busy 2"}, {"name": "charge", "count": 1}, 2]
    assert first.types() == ["attemptFailed charge", "attemptFailed charge", "callCompleted charge"]
    again = await drive(script, first.history[:3])
    assert again.lines == ["3"]


async def test_a_pause_that_is_long_parks(drive: Driver) -> None:
    script = "async function main() { await step.do('a', { retries: { limit: 1, delay: '1h', jitter: 0 } }, () => { throw new Error('busy') }) }"
    parked = await drive(script)
    assert isinstance(parked.outcome, Parked)
    assert parked.types() == ["attemptFailed a", "waiting"]
    failed, waiting = parked.history[-2:]
    assert (waiting.wake_at - failed.time).total_seconds() == pytest.approx(3600, abs=1)
    # Taken up too early, it parks again for the same time, and does nothing.
    again = await drive(script, parked.history)
    assert again.history[-1].wake_at == waiting.wake_at
    assert again.types()[2:] == ["waiting"]


async def test_an_error_says_when_to_come_again(drive: Driver) -> None:
    script = "async function main() { await step.do('a', { retries: { limit: 1, delay: 1 } }, () => { throw new RetryableError('busy', { retryAfter: '2h' }) }) }"
    parked = await drive(script)
    failed = parked.history[-2]
    assert (failed.retry_at - failed.time).total_seconds() == pytest.approx(7200, abs=1)


@pytest.mark.parametrize(
    "function", ["() => new Promise(() => {})", "async () => { while (true) await fetch('http://a/') }"]
)
async def test_an_attempt_that_does_not_end_fails(drive: Driver, function: str) -> None:
    script = f"""async function main() {{
      try {{ await step.do("a", {{ timeout: 50, retries: {{ limit: 0 }} }}, (ctx) => {{ ctx.signal.addEventListener("abort", () => log(ctx.signal.reason.name)); return ({function})() }}) }}
      catch (e) {{ return [e.name, e.message] }}
    }}"""
    first = await drive(script)
    assert first.output[0] == "TimeoutError"
    assert "step a: attempt 1 took longer than 50 ms" in first.output[1]
    assert first.lines == ["TimeoutError"]


async def test_an_attempt_that_blocks_is_recorded_as_failed_and_the_rest_done_again(drive: Driver) -> None:
    script = """async function main() {
      const other = step.do("other", () => { log("other"); return 1 });
      const blocked = await step.do("blocks", { timeout: 100, retries: { limit: 1, delay: 1 } }, (ctx) => { if (ctx.attempt === 1) while (true); return ctx.attempt });
      return [await other, blocked];
    }"""
    parked = await drive(script)
    assert isinstance(parked.outcome, Parked)
    assert parked.types() == ["callCompleted other", "attemptFailed blocks", "waiting"]
    done = await drive(script, parked.history)
    assert done.output == [1, 2]
    assert done.lines == []


async def test_a_step_that_must_not_run_twice_is_interrupted_where_it_was_cut_off(drive: Driver) -> None:
    script = """async function main() {
      try { return await step.do("pay", { atMostOnce: true }, async () => { await fetch("http://pay/", { method: "POST" }); return "paid" }) }
      catch (e) { return [e.name, e.attempts] }
    }"""
    first = await drive(script)
    assert (first.output, first.types()) == ("paid", ["callStarted pay", "callCompleted pay"])
    cut = await drive(script, first.history[:2])
    assert (cut.output, len(cut.requests)) == (["Interrupted", 1], 0)
    assert (await drive(script, cut.history)).output == ["Interrupted", 1]
    # What the function itself throws is tried again only if that was asked for.
    failing = "async function main() { await step.do('a', { atMostOnce: true %s }, (ctx) => { if (ctx.attempt < 2) throw new Error('x') }) }"
    assert (await drive(failing % "")).error.name == "Error"
    assert (await drive(failing % ", retries: { limit: 1, delay: 1 }")).types() == [
        "callStarted a", "attemptFailed a", "callStarted a", "callCompleted a",
    ]  # fmt: skip


async def test_what_a_step_does_outside_has_a_key_of_its_own(drive: Driver) -> None:
    script = """async function main() {
      await step.do("a", { retries: { limit: 1, delay: 1 } }, async (ctx) => {
        await fetch("http://a/", { method: "POST" }); fetchSync("http://a/", { method: "PUT" }); await fetch("http://a/", { method: "POST", headers: { "idempotency-key": "own" } });
        await fetch("http://a/");
        if (ctx.attempt === 1) throw new Error("again");
        return ctx.idempotencyKey;
      });
    }"""
    first = await drive(script)
    keys = [
        {name.lower(): value for name, value in each.headers.items()}.get("idempotency-key") for each in first.requests
    ]
    own = "7f0c1d7e-0000-4000-8000-0000000000aa-0.1"
    assert keys == 2 * [f"{own}-1", f"{own}-2", "own", None]


async def test_a_step_that_nobody_awaits_is_done_before_the_run_ends(drive: Driver) -> None:
    script = """async function main() {
      step.do("mail", async () => { await fetch("http://a/") });
      ["a", "b"].forEach(async (name) => { await step.do(name + 1, () => 1); await step.do(name + 2, () => 2) });
      step.sleep("leftover", "52 weeks");
      return "done";
    }"""
    first = await drive.everywhere(script, racing=True)
    assert first.output == "done"
    assert {name for name in first.types() if name.startswith("callCompleted")} == {
        f"callCompleted {name}" for name in ("mail", "a1", "a2", "b1", "b2")
    }
    assert first.lines == ["ended without waiting for 1 sleeps or events that are open: leftover"]


@pytest.mark.parametrize("caught", [False, True])
async def test_a_failure_that_nobody_looked_at_fails_the_run(drive: Driver, caught: bool) -> None:
    handler = ".catch(() => {})" if caught else ""
    script = f"async function main() {{\n step.do('mail', {ONCE}, () => {{ throw new RangeError('x') }}){handler};\n return 'done' }}"
    first = await drive.everywhere(script)
    if caught:
        assert first.output == "done"
    else:
        assert (first.error.name, first.error.line) == ("RangeError", 2)
        assert "x (in a promise that was not awaited)" in first.error.message


async def test_a_failure_may_be_looked_at_many_turns_later(drive: Driver) -> None:
    script = f"""async function main() {{
      const failed = step.do("a", {ONCE}, () => {{ throw new Error("early") }});
      for (let i = 0; i < 5; i++) await step.sleep("s", 1);
      try {{ await failed }} catch (e) {{ return e.message }}
    }}"""
    assert (await drive.everywhere(script)).output == "early"


async def test_a_promise_that_an_attempt_leaves_behind_rejected_fails_the_attempt(drive: Driver) -> None:
    script = f"async function main() {{ try {{ await step.do('a', {ONCE}, () => {{ Promise.reject(new Error('lost')); return 1 }}) }} catch (e) {{ return e.message }} }}"
    assert (await drive.everywhere(script)).output == "lost"


async def test_the_end_of_the_entry_ends_all_that_is_under_way(drive: Driver) -> None:
    script = "async function main() { step.sleep('x', '1 day'); step.do('never', () => new Promise(() => {})); throw new RangeError('end') }"
    assert (await drive(script)).error.message == "end"


@pytest.mark.parametrize(
    "script",
    [
        "async function main() { await new Promise(() => {}); }\nstep;",
        "async function main() { await step.do('a', () => 1); await new Promise(() => {}) }",
    ],
)
async def test_a_promise_that_nothing_settles_is_a_deadlock(drive: Driver, script: str) -> None:
    assert isinstance((await drive(script)).error, Deadlock)


async def test_a_changed_script_is_told_with_both_calls(drive: Driver) -> None:
    script = "async function main() { await step.do('a', () => 1); await step.sleep('b', 1) }"
    first = await drive(script)
    for changed, words in (("step.do('other', () => 1)", "step.do"), ("step.sleep('a', 1)", "step.sleep")):
        started = first.history[0].replace(script=script.replace("step.do('a', () => 1)", changed))
        error = (await drive(script, [started, *first.history[1:]])).error
        assert isinstance(error, NonDeterminism)
        assert "call 0.1: the history holds step.do" in error.message
        assert words in error.message


async def test_log_lines_are_printed_once_each(drive: Driver) -> None:
    script = f"""async function main() {{
      log("begin");
      await step.do("a", () => {{ log("in a") }});
      log("behind a");
      await step.do("b", {FAST}, (ctx) => {{ log("b", ctx.attempt); if (ctx.attempt < 2) throw new Error("x") }});
      log("end");
    }}"""
    first = await drive(script)
    assert first.lines == ["begin", "in a", "behind a", "b 1", "b 2", "end"]
    # What led to the last event was printed; the attempt that may have been cut off prints again.
    assert (await drive(script, first.history[:2])).lines == ["behind a", "b 1", "b 2", "end"]
    assert (await drive(script, first.history[:3])).lines == ["b 2", "end"]
    assert (await drive(script, first.history)).lines == ["end"]


async def test_a_run_that_others_wait_for_lets_its_attempts_end_and_parks(drive: Driver) -> None:
    waits: list[bool] = []

    def contended() -> bool:
        waits.append(True)
        return True

    script = "async function main() { for (let i = 0; i < 3; i++) await step.do('s', () => { const end = Date.now(); return i }) }"
    assert (await drive(script, contended=contended)).types().count("callCompleted s") == 3
    assert waits
