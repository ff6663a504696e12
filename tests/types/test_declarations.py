"""The declarations for editors say what a sandbox has, and let through what runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from click.testing import CliRunner
from py_mini_racer import MiniRacer

from tests.javascript.sandbox import run
from tests.types.conftest import DECLARATIONS, Compile
from workflow_operator.cli import main
from workflow_operator.history import Json
from workflow_operator.javascript.host import HostCall, SandboxPool

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
# There for bundles that look for them, and of no use.
FOR_BUNDLES = {"crypto", "clearTimeout", "clearInterval"}
ASKED = """
function main() {
  const members = (value) => Object.getOwnPropertyNames(value);
  const refuses = (name) => {
    try { Promise.resolve(globalThis[name]()).catch(() => {}); } catch (error) { return error.name === "NotAvailable"; }
    return false;
  };
  const made = { URL, URLSearchParams, TextEncoder, TextDecoder, AbortSignal, AbortController };
  const there = (name) => {
    try { step[name]().catch(() => {}); } catch (error) { return error.name !== "NotAvailable"; }
    return true;
  };
  const later = [NonRetryableError, RetryableError, uuid, fetch];
  const answer = fetchSync("http://shop.example/");
  const told = {
    globals: members(globalThis).filter((name) => !refuses(name)),
    Console: members(console),
    FetchAnswer: [...members(answer), ...members(Object.getPrototypeOf(answer))],
    Now: members(now()),
    Step: members(step).filter((name) => !["length", "name", "prototype"].includes(name) && there(name)),
  };
  for (const name in made) {
    told[name] = members(made[name].prototype).filter((member) => member !== "constructor");
    told[`typeof ${name}`] = members(made[name]).filter((member) => !["length", "name", "timeout"].includes(member));
  }
  return told;
}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def there(pool: SandboxPool) -> dict[str, list[str]]:
    """Of the globals, and of what they are or make, the names that a sandbox has."""
    answer = {
        "method": "GET",
        "url": "",
        "status": 200,
        "statusText": "",
        "redirected": False,
        "headers": {},
        "text": "",
    }

    def answering(call: HostCall, number: int) -> Json:
        return Json.of(cast(Any, answer))

    async with pool.session("types") as session:
        return cast(dict[str, list[str]], (await run(session, ASKED, answering)).returned())


async def test_each_global_of_a_sandbox_is_declared_and_no_other(there: dict[str, list[str]]) -> None:
    declared = set(re.findall(r"^declare (?:function|var|class) (\w+)", DECLARATIONS.read_text(), re.MULTILINE))
    language = set(cast(str, MiniRacer().eval("Object.getOwnPropertyNames(globalThis).join()")).split(","))
    language.remove("console")
    assert declared == set(there["globals"]) - language - FOR_BUNDLES - {"main"}


async def test_each_member_that_a_sandbox_has_is_declared_and_no_other(
    there: dict[str, list[str]], compiled: Compile
) -> None:
    """The compiler itself compares."""
    types = {name: name for name in there if name not in ("globals", "Now")} | {"Now": "ReturnType<typeof now>"}
    lines = ["type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : [B, 'and not', A]) : [A, 'and not', B];"]
    for number, (name, type_) in enumerate(types.items()):
        found = " | ".join(f'"{member}"' for member in there[name])
        lines.append(f"export const of{number}: Same<keyof ({type_}) & string, {found}> = true;")
    assert len(lines) == 17
    assert compiled(members_ts="\n".join(lines)) == []


async def test_a_member_that_is_not_declared_would_be_told(compiled: Compile) -> None:
    wrong = "type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;\n"
    wrong += "export const it: Same<keyof TextEncoder & string, 'encode' | 'encoding'> = true;"
    assert "TS2322" in compiled(members_ts=wrong)[0]


async def test_what_the_pages_and_the_examples_run_is_let_through(compiled: Compile) -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    scripts = [script for page in pages for script in re.findall(r"```js\n(.*?)```", page.read_text(), re.DOTALL)]
    scripts += [path.read_text() for path in (ROOT / "examples").glob("*.js")]
    assert len(scripts) >= 9
    assert compiled(**{f"script{number}_js": script for number, script in enumerate(scripts)}) == []


RIGHT = """
/** @param {{ total: number }} order */
function main(order) {
  const done = transition(charge, { total: order.total });
  const none = transition(last, undefined);
  const answer = fetchSync(new URL("http://shop.example/"), {
    method: "POST", body: [1, null, { a: "b" }], headers: { Accept: ["a", "b"], "X-Age": 3, "X-Not": null },
    params: { page: 1, tag: ["x", "y"], all: true }, timeout: 0.5, username: "u", password: "p", skipTls: true,
  });
  sleep(10);
  finish({ done });
  finish();
  log("at", now().unix(), now().format("2006"), id());
  console.assert(answer.ok, answer.headers["content-type"][0].length, answer.json().any.thing);
  for (const [name, value] of new URLSearchParams({ a: "b" })) print(name.length, value.length);
  const bytes = new TextEncoder().encode(new TextDecoder("utf-16le", { fatal: true }).decode(new Uint8Array(2)));
  queueMicrotask(() => console.table([structuredClone(new Map([[1, bytes]])).get(1)?.length]));
  const controller = new AbortController();
  controller.signal.addEventListener("abort", () => log(controller.signal.reason));
  const { id: name, startTime } = step.info();
  log(name, startTime.toFixed(0), uuid().length, AbortSignal.any([AbortSignal.abort("x")]).aborted);
  if (startTime < 0) promises(controller.signal);
  return atob(btoa(`${done.charged.toFixed(2)}${none}${self === global}`));
}
/** @param {{ total: number }} memory */
function charge(memory) { return { charged: memory.total }; }
function last() { return 1; }
/** @param {AbortSignal} signal */
async function promises(signal) {
  const retries = { limit: 3, delay: "1m", backoff: /** @type {"linear"} */ ("linear") };
  const given = await step.do("a", { retries, timeout: 500, signal }, async (ctx) => {
    if (ctx.attempt === 2) throw new RetryableError(ctx.previousError?.message, { retryAfter: "1h" });
    if (ctx.signal.aborted) throw new NonRetryableError("no", { data: { of: ctx.step.name, at: ctx.idempotencyKey } });
    return { total: (await fetch("http://a/", { signal: ctx.signal })).json().total + 1, n: 5 };
  });
  await step.sleep("b", "2 days", { signal });
  await step.sleepUntil("c", new Date());
  const event = await step.waitForEvent("d", { type: ["e", "f"], timeout: "1 day", signal });
  log(event.payload.anything, event.sender?.length, event.timestamp + 1);
  const list = await step.map([1, 2], { concurrency: 2 }, async (one, index) => one + index + given.n);
  const settled = await step.map(new Set(["a"]), { settle: true }, (one) => one.length);
  const { winner, value } = await step.race({ x: (s) => step.do("x", { signal: s }, () => 5) });
  return list[0].toFixed() + settled[0].status + winner.length + value.toFixed();
}
"""


async def test_what_a_script_may_do_is_let_through(compiled: Compile, pool: SandboxPool) -> None:
    """And it runs."""
    answer = {"method": "POST", "url": "", "status": 200, "statusText": "", "redirected": False, "text": '{"any":{}}'}
    answer["headers"] = {"content-type": ["application/json"]}

    def answering(call: HostCall, number: int) -> Json | None:
        return Json.of(cast(Any, answer)) if call.name == "fetchSync" else None

    assert compiled(script_js=RIGHT) == []
    async with pool.session("types") as session:
        assert (await run(session, RIGHT.replace("order.total", "17"), answering)).output == "17.001true"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("sleep('5s')", "TS2345"),
        ("sleep()", "TS2554"),
        ("transition(next)", "TS2554"),
        ("transition('next', {})", "TS2345"),
        ("transition(next, { amount: 'x' })", "TS2322"),
        ("fetchSync()", "TS2554"),
        ("fetchSync('http://a/', { method: 'BREW' })", "TS2322"),
        ("fetchSync('http://a/', { retries: 3 })", "TS2353"),
        ("fetchSync('http://a/').body", "TS2339"),
        ("fetchSync('http://a/').status.length", "TS2339"),
        ("await fetch('http://a/', { retries: 3 })", "TS2353"),
        ("await step.do('a', { retry: 3 }, () => 1)", "TS2353|TS2769"),
        ("(await step.do('a', () => 1)).length", "TS2339"),
        ("step('a')", "TS2349"),
        ("await step.sleep(5000)", "TS2554|TS2345"),
        ("await step.waitForEvent('a')", "TS2554"),
        ("await step.waitForEvent('a', { types: ['b'] })", "TS2353|TS2561"),
        ("await step.sendEvent('a')", "TS2339"),
        ("setTimeout(main, 5)", "TS2304"),
        ("process.env", "TS2591|TS2580|TS2304"),
        ("require('fs')", "TS2591|TS2580|TS2304|TS2307"),
        ("document.title", "TS2584|TS2304"),
        ("id().total", "TS2339"),
        ("new URL(5)", "TS2345"),
    ],
)
async def test_what_cannot_be_right_is_told(compiled: Compile, wrong: str, told: str) -> None:
    next_ = "/** @param {{ amount: number }} memory */\nfunction next(memory) { return memory.amount; }"
    line, *_ = compiled(script_js=f"async function main() {{ {wrong}; }}\n{next_}")
    assert re.search(told, line), line


async def test_the_command_prints_them() -> None:
    done = CliRunner().invoke(main, ["types"])
    assert (done.exit_code, done.output) == (0, DECLARATIONS.read_text())
