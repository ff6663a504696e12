"""What a run leaves, and what the next run of its namespace, in the same process, finds of it: nothing."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.javascript.sandbox import job, run
from workflow_operator.history.errors import MemoryLimit
from workflow_operator.javascript.host import Limits, SandboxPool, Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ONE = "function main() { return 1 }"

# Each is what a script does in its main, or what stands beside it, and what the next script's main returns, with what is
# to be found.
PAIRS: dict[str, tuple[str, str, Any]] = {
    "globals": ("x = 1; globalThis.y = 2; var z = 3; let l = 4; class C {}; function main() {}",
        "return [typeof x, typeof y, typeof z, typeof l, typeof C]", ["undefined"] * 5),
    "prototypes": ("Array.prototype.leak = Object.prototype.leak = 1; Math.random = () => 0; JSON.stringify.leak = 1; function main() {}",
        "return [typeof [].leak, typeof ({}).leak, typeof JSON.stringify.leak, Math.random.name]", ["undefined", "undefined", "undefined", "random"]),
    "frozen": ("Object.freeze(Object.prototype); Object.freeze(globalThis); Object.setPrototypeOf(Array.prototype, null); function main() {}",
        "Object.prototype.q = 1; return [({}).q, Object.getPrototypeOf(Array.prototype) === Object.prototype]", [1, True]),
    "statics of RegExp": ("function main() { /(s.c)ret/.exec('my secret') }",
        "return [RegExp.$1, RegExp.lastMatch, RegExp.input, RegExp['$`']]", ["", "", "", ""]),
    "registry of symbols": ("function main() { Object.prototype[Symbol.for('leak')] = 'secret'; Symbol.for('leak').leak = 1 }",
        "return [typeof ({})[Symbol.for('leak')], typeof Symbol.for('leak').leak, Symbol.keyFor(Symbol.for('leak'))]", ["undefined", "undefined", "leak"]),
    "well-known symbols": ("Array.prototype[Symbol.iterator] = null; String.prototype[Symbol.toPrimitive] = 1; function main() {}",
        "return [[...'ab'].length, [...[1]].length, '' + new String('a')]", [2, 1, "a"]),
    "templates": ("globalThis.held = ((s) => s)`x`; function main() { held.raw[0]; const t = (s) => s; t`x`; return 1 }",
        "const t = (s) => s; const one = t`x`; return [typeof held, one.length, Object.isFrozen(one)]", ["undefined", 1, True]),
    "hooks of errors": ("Error.prepareStackTrace = () => 'hooked'; Error.stackTraceLimit = 0; function main() {}",
        "return [String(new Error('x').stack).split('\\n')[0], Error.stackTraceLimit, typeof Error.prepareStackTrace]", ["Error: x", 10, "undefined"]),
    "stacks": ("function secret() { return new Error('x').stack } function main() { return secret().length }",
        "return new Error('x').stack.includes('secret')", False),
    "microtasks": ("function main() { (async () => { for (let n = 0; n < 3000; n++) await null; globalThis.late = 1; log('late') })(); return 1 }",
        "for (let i = 0; i < 5000; i++) ; return typeof late", "undefined"),
    "queueMicrotask": ("function main() { const again = (n) => n > 0 && queueMicrotask(() => again(n - 1)); again(2000); throw new Error('x') }",
        "return 1", 1),
    "a promise that is never settled": ("globalThis.held = new Promise(() => {}); function main() { held.then(() => log('late')); return 1 }",
        "return typeof held", "undefined"),
    "an await that never ends": ("async function f() { try { await new Promise(() => {}) } finally { log('late') } } function main() { f(); return 1 }",
        "return 1", 1),
    "a rejection that nobody awaits": ("function main() { Promise.reject(new Error('late')); (async () => { throw 1 })() }",
        "return 1", 1),
    "a rejection that is handled late": ("globalThis.held = Promise.reject(1); function main() { throw new Error('x') }",
        "const p = Promise.reject(1); p.catch(() => {}); return 1", 1),
    "generators": ("function* g() { try { yield 1 } finally { log('late') } } globalThis.held = g(); function main() { held.next(); return 1 }",
        "return typeof held", "undefined"),
    "async generators": ("async function* g() { try { yield 1 } finally { log('late') } } globalThis.held = g(); async function main() { await held.next(); return 1 }",
        "return typeof held", "undefined"),
    "iterators": ("const it = [1, 2][Symbol.iterator](); Object.getPrototypeOf(it).next = () => ({done: true}); function main() {}",
        "return [...[1, 2]].length", 2),
    "what tells when memory is freed": ("function main() { return [typeof WeakRef, typeof FinalizationRegistry] }",
        "return [typeof WeakRef, typeof FinalizationRegistry]", ["undefined", "undefined"]),
    "shared memory": ("function main() { return [typeof SharedArrayBuffer, typeof Atomics] }",
        "return [typeof SharedArrayBuffer, typeof Atomics]", ["undefined", "undefined"]),
    "Intl": ("Date.prototype.getTime = () => 0; Intl.DateTimeFormat.prototype.formatToParts = 1; Intl.NumberFormat = null; function main() {}",
        "return [new Date(5).getTime(), typeof Intl.NumberFormat, (1234.5).toLocaleString()]", [5, "function", "1,234.5"]),
    "what Intl keeps": ("function main() { return [(1e6).toLocaleString('de'), 'ä'.localeCompare('z', 'sv'), new Date(0).toLocaleString('fr')] }",
        "return [(1e6).toLocaleString(), 'ä'.localeCompare('z'), new Date(0).toLocaleDateString()]", ["1,000,000", -1, "1/1/1970"]),
    "compiled code": ("let n = 0; function f() { return ++n } function main() { f.count = 1; return f() }",
        "return [f(), f.count === undefined]; } let n = 0; function f() { return ++n", [1, True]),
    "literals": ("function f() { return {a: [1], r: /x/g} } function main() { const o = f(); o.a.push(2); o.r.lastIndex = 5; o.leak = 1 }",
        "const o = f(); return [o.a.length, o.r.lastIndex, 'leak' in o]; } function f() { return {a: [1], r: /x/g}", [1, 0, False]),
    "chance": ("function main() { for (let i = 0; i < 100; i++) Math.random() }",
        "return Math.random() === new Date(0).constructor.length * 0 + Math.random()", False),
    "console": ("console.log = () => { throw 1 }; log = print = transition = null; console.group(); console.count(); console.time(); function main() {}",
        "console.count(); return [typeof transition, typeof log]", ["function", "function"]),
    "what was logged": ("function main() { log('secret'); console.group('deep') }",
        "return console.log.toString().includes('native')", True),
    "buffers": ("globalThis.held = new Uint8Array(1e6).fill(7); function main() { held.buffer.transfer(8); return 1 }",
        "const fresh = new Uint8Array(1e6); return [typeof held, fresh.every((byte) => byte === 0)]", ["undefined", True]),
    "the web": ("URL.prototype.toString = () => 'evil'; TextEncoder = null; function main() {}",
        "return [String(new URL('http://a/b')), typeof TextEncoder]", ["http://a/b", "function"]),
    "a thrown object": ("function main() { const e = new Error('secret'); e.self = e; Object.prototype[Symbol.toPrimitive] = () => 'evil'; throw e }",
        "return [`${[1]}`, typeof Object.prototype[Symbol.toPrimitive]]", ["1", "undefined"]),
    "a module": ("export default function main() { return 1 } export const secret = 1",
        "return [typeof defaultExport, typeof secret, typeof module]", ["undefined"] * 3),
    "transitions inside each other": ("function f(n) { return n > 0 ? transition(f, n - 1) : 0 } function main() { f(50); throw 1 }",
        "return transition(f, 4095); } function f(n) { return n > 4090 ? f(n - 1) : 'all'", "all"),
    "a stack that is full": ("function f() { f() } function main() { try { f() } catch {} Promise.reject(1); f() }",
        "return 1", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
async def test_the_next_run_finds_nothing(session: Session, name: str) -> None:
    leave, look, found = PAIRS[name]
    quiet = Limits(wall_seconds=20)
    script = f"function main() {{ {look} }}"
    before = await run(session, job(script, limits=quiet))
    pid = session.pid
    await run(session, job(leave, limits=quiet))
    after = await run(session, job(script, limits=quiet))
    assert session.pid == pid
    assert after.returned() == before.returned() == found
    assert after.texts == before.texts


async def test_the_same_script_gives_the_same_whatever_ran_before(session: Session) -> None:
    script = """function main() {
      const m = new Map([['b', 1], ['a', 2]])
      return [Math.random(), Date.now(), [...m.keys()], Object.keys({z: 1, 1: 2, a: 3}), String(new Error('e').stack)]
    }"""
    outputs = []
    for leave, _, _ in [*PAIRS.values()][:8]:
        outputs.append((await run(session, script)).returned())
        await run(session, leave)
    assert all(output == outputs[0] for output in outputs)


# Every error that a script catches is of its own realm, at any depth of the stack: an error of another one would be a way
# from run to run.
REALM = """
function own(e) { let p = e; while (Object.getPrototypeOf(p) !== null) p = Object.getPrototypeOf(p); return p === Object.prototype }
function main() {
  let seen = 0, foreign = [];
  const calls = [() => log('x'), () => now().format('2006'), () => finish(1n), () => transition(1, 2), () => sleep('a'),
    () => new Date(), () => Math.random(), () => new Intl.DateTimeFormat().format(), () => JSON.parse('{'), () => null.x,
    () => 'a'.repeat(-1), () => new Proxy({}, {get() { return 1 }}).x, () => Reflect.construct(1), () => [].reduce(1),
    () => { fetch().catch(() => {}) }, () => { fetch('http://a/').catch(() => {}) }, () => { step.do('a', () => 1).catch(() => {}) }, () => id(),
    () => { const c = new AbortController(); step.sleep('a', 1, { signal: c.signal }).catch(() => {}); c.abort() }, () => new Function('1'), () => 'x'.localeCompare('y'), () => new Uint8Array(9).slice(),
    () => Promise.reject(1).catch(() => {}), () => console.log('%o', {}), () => sleep(1), () => queueMicrotask(1)]
  // Compiled before: that needs stack too.
  for (const call of calls) for (let warm = 0; warm < 3; warm++) try { call() } catch {}
  for (const call of calls) {
    let max = 0;
    (function f(n) {
      max = n;
      try { f(n + 1) } catch (e) { if (!own(e)) foreign.push(String(call)); }
      if (n > max - 300) try { call() } catch (e) { seen++; if (!own(e) || !(e instanceof Error)) foreign.push(String(call) + n) }
    })(0);
  }
  return [seen > 1000, foreign.slice(0, 5)]
}"""


async def test_every_error_is_of_the_run_itself(session: Session) -> None:
    limits = replace(Limits(), log_lines=0, cpu_seconds=60)
    for _ in range(2):
        assert (await run(session, job(REALM, limits=limits))).returned() == [True, []]


SMALL = replace(Limits(), memory_bytes=64 * 1024 * 1024)
HOLD = "function main() { globalThis.keep = []; for (let i = 0; i < %d; i++) keep.push(new Array(250000).fill(i)); return keep.length }"
BUFFERS = "function main() { globalThis.keep = []; for (let i = 0; i < 45; i++) keep.push(new Uint8Array(1e6).fill(i)); return keep.length }"
SYMBOLS = "function main() { for (let i = 0; i < 30000; i++) Symbol.for('leak' + i); return 1 }"


@pytest.mark.parametrize("script", [HOLD % 45, BUFFERS, SYMBOLS], ids=["heap", "buffers", "symbols"])
async def test_what_a_run_held_is_not_counted_against_the_next(pool: SandboxPool, script: str) -> None:
    for _ in range(6):
        async with pool.session("held") as session:
            (await run(session, job(script, limits=SMALL))).returned()


async def test_a_heap_that_is_nearly_full_hurts_no_other_run(pool: SandboxPool) -> None:
    tiny = replace(Limits(), memory_bytes=8 * 1024 * 1024)
    for _ in range(5):
        async with pool.session("full") as session:
            assert (await run(session, job(HOLD % 58, limits=SMALL))).returned() == 58
        async with pool.session("full") as session:
            assert (await run(session, job(ONE, limits=tiny))).returned() == 1


async def test_after_the_limit_of_the_heap_the_next_run_has_all_of_it(pool: SandboxPool) -> None:
    for _ in range(2):
        async with pool.session("limit") as session:
            assert isinstance((await run(session, job(HOLD % 100, limits=SMALL))).error, MemoryLimit)
        async with pool.session("limit") as session:
            assert (await run(session, job(HOLD % 45, limits=SMALL))).returned() == 45
