"""What a script does to reach the prelude, or to learn what ran before it."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

import pytest

from tests.javascript.sandbox import job, run
from workflow_operator.history.errors import MemoryLimit, PayloadTooLarge
from workflow_operator.javascript.host import Limits, SandboxPool, Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

JOB = '{"limits":{"payload_bytes":1e12,"log_lines":1e12,"log_line_bytes":1e12},"time_ms":5,"seed":[1,2],"instance_id":"evil","input":null}'

GETTERS = [
    f"return n++ === 0 ? {{}} : {JOB!r}",
    f"return {JOB!r}",
    "return n++ === 0 ? {} : function evil() { return 'evil' }",
    "return () => 'evil'",
    "return n++ === 0 ? {state: 'state1'} : 5n",
    "throw 1",
    "return {get state() { return n++ === 0 ? 'state1' : 7 }}",
]


@pytest.mark.parametrize("body", GETTERS)
async def test_a_getter_as_flow_reaches_nothing(session: Session, body: str) -> None:
    script = f"""let n = 0
    Object.defineProperty(globalThis, 'flow', {{get() {{ {body} }}}})
    function f() {{}}
    function state1() {{
      try {{ transition(f, 'x'.repeat(300000)) }} catch (error) {{ return [id(), now().unix(), error.name] }}
    }}"""
    assert (await run(session, script)).returned() == ["instance-1", 1_700_000_000, "PayloadTooLarge"]


async def test_flow_is_read_once_where_it_is_asked_for(session: Session) -> None:
    script = """let reads = 0
    Object.defineProperty(globalThis, 'flow', {get() { reads++; return {state: 'go'} }})
    function go() { return reads }"""
    assert (await run(session, script)).returned() == 1


BUFFERS = [
    "new ArrayBuffer(BIG)",
    "new ArrayBuffer(8, {maxByteLength: BIG})",
    "new ArrayBuffer(8).transfer(BIG)",
    "new ArrayBuffer(8).transferToFixedLength(BIG)",
    "new Uint8Array(BIG)",
    "new Float64Array(BIG / 8)",
    "new Uint8Array({length: BIG})",
    "new BigInt64Array(new BigInt64Array(HALF / 8 + 1))",
    "Uint8Array.from({length: BIG})",
    "(() => { for (const all = [];;) all.push(new Uint8Array(1e6)) })()",
    "(() => { for (;;) new Uint16Array(5e5) })()",
    "(() => { const one = new Uint8Array(HALF); return [one.slice(), one.slice()] })()",
    "(() => { const one = new Uint8Array(HALF); return [one.toReversed(), one.toSorted()] })()",
    "(() => { const one = new ArrayBuffer(HALF); return [one.slice(0), one.slice(0)] })()",
    "(() => { const one = new Uint8Array(HALF); return [one.map((x) => x), one.with(0, 1)] })()",
    "structuredClone(new Uint8Array(HALF + 1))",
    "new (class Mine extends Uint8Array {})(BIG)",
    "new (new Uint8Array(1).constructor)(BIG)",
    "Reflect.construct(Uint8Array, [BIG], Array)",
    # What makes the result without a constructor that is looked up, or reads its arguments more often than once.
    "(() => { const one = new Uint8Array(HALF); one.constructor = undefined; return [one.slice(), one.slice()] })()",
    "(() => { const one = new Uint8Array(HALF / 8); one.constructor = {[Symbol.species]: null}; for (;;) one.map((x) => x) })()",
    "(() => { const one = new ArrayBuffer(HALF); one.constructor = undefined; return [one.slice(0), one.slice(0)] })()",
    "(() => { const one = new Uint8Array(HALF); one.buffer.constructor = undefined; return [one.buffer.slice(0), one.buffer.slice(0)] })()",
    "(() => { let n = 0; new ArrayBuffer(8).transfer({valueOf: () => (n++ === 0 ? 0 : BIG)}) })()",
    "(() => { for (;;) { let n = 0; new ArrayBuffer(8, {maxByteLength: {valueOf: () => (n++ === 0 ? 1e6 : 8)}}) } })()",
    "(() => { Array.prototype[Symbol.iterator] = function () { globalThis.leaked = this; return {next: () => ({done: true})} };"
    " const one = new Uint8Array(HALF); if (globalThis.leaked) throw new Error('leaked'); return [one.slice(), one.slice()] })()",
]


@pytest.mark.parametrize("expression", BUFFERS)
async def test_the_cap_of_buffers_cannot_be_caught(session: Session, expression: str) -> None:
    limits = Limits(memory_bytes=16 * 1024 * 1024)
    script = f"""const BIG = 17 * 1024 * 1024, HALF = 8 * 1024 * 1024
    function main() {{
      try {{ {expression} }} catch (error) {{ log(error.name) }}
      try {{ sleep(1) }} catch {{}}
      return 'caught'
    }}"""
    result = await run(session, job(script, limits=limits))
    assert isinstance(result.error, MemoryLimit), result
    assert result.error.line == 3
    assert result.calls == []
    assert result.texts == ["MemoryLimit"]


async def test_what_ran_before_does_not_show_in_what_buffers_a_script_gets(pool: SandboxPool) -> None:
    probe = """function main() {
      const held = []
      try { for (;;) held.push(new Uint8Array(1 << 20)) } catch { log(held.length) }
    }"""
    filled = "function main() { const a = []; for (let i = 0; i < 1e6; i++) a.push({i}); return a.length }"
    seen = []
    for scripts in ((probe,), (filled, probe)):
        for script in scripts:
            async with pool.session("before") as session:
                result = await run(session, script)
        seen.append(result.texts)
    assert seen == [["128"], ["128"]]


async def test_a_frozen_global_object_keeps_its_globals(session: Session) -> None:
    script = """Object.freeze(globalThis)
    function main() { console.log(new URL('http://a').href); return [new URL('http://b').href, new Uint8Array(3).length, URL === URL] }"""
    result = await run(session, script)
    assert (result.returned(), result.texts) == (["http://b/", 3, True], ["http://a/"])


async def test_a_line_in_a_group_costs_no_more_than_what_is_shown_of_it(session: Session) -> None:
    script = "function main() { for (let i = 0; i < 30; i++) console.group(); console.log('%s', '\\n'.repeat(1e7)); return 1 }"
    assert (await run(session, script)).returned() == 1


async def test_small_arrays_are_not_counted(session: Session) -> None:
    script = "function main() { for (let i = 0; i < 300000; i++) new Uint8Array(64); return 'ok' }"
    assert (await run(session, job(script, limits=Limits(memory_bytes=16 * 1024 * 1024)))).returned() == "ok"


async def test_typed_arrays_are_what_they_were(session: Session) -> None:
    script = """function main() {
      const x = new Uint8Array([1, 2, 3, 300]), from = Uint16Array.from({length: 3}, (_, i) => i * 1000)
      class Mine extends Uint8Array {}
      const refused = (action) => { try { action() } catch (error) { return error.name } }
      return [Array.from(x), Array.from(from.map((v) => v + 1)), new Mine(4) instanceof Uint8Array, new Mine(4).length, x.slice(1) instanceof Uint8Array,
        Array.from(new Float64Array(new Set([1.5]))), Uint8Array.BYTES_PER_ELEMENT, new DataView(x.buffer).getUint8(1), ArrayBuffer.isView(x),
        x.constructor === Uint8Array, new Uint8Array(x.buffer, 1, 2).length, new Uint8Array().length, x.subarray(1, 2).length, Uint8Array.name, Uint8Array.length,
        new ArrayBuffer(8, {maxByteLength: 16}).maxByteLength, refused(() => Uint8Array(1)), refused(() => new Uint8Array(-1)), refused(() => new ArrayBuffer(-1)),
        Object.getPrototypeOf(Uint8Array) === Object.getPrototypeOf(Int8Array), Uint8Array.of(1, 2).length, new Uint8Array(2.9).length, new Uint8Array('3').length]
    }"""
    assert (await run(session, script)).returned() == [
        [1, 2, 3, 44], [1, 1001, 2001], True, 4, True, [1.5], 1, 2, True, True, 2, 0, 1, "Uint8Array", 3, 16,
        "TypeError", "RangeError", "RangeError", True, 2, 2, 3,
    ]  # fmt: skip


async def test_the_last_match_of_a_regular_expression_is_the_scripts(session: Session) -> None:
    script = """function f() {}
    function main() {
      /(\\d+)/.test('order 1042')
      transition(f, {'a b': 'é'.repeat(50000)})
      try { transition(f, {x: [new Map()]}) } catch {}
      console.log('%s', {a: new Map()})
      return RegExp.$1
    }"""
    assert (await run(session, script)).returned() == "1042"


async def test_a_payload_over_the_cap_names_its_size(session: Session) -> None:
    error = (await run(session, "function f() {} function main() { transition(f, 'é'.repeat(200000)) }")).error
    assert isinstance(error, PayloadTooLarge)
    assert "has 400002 bytes as JSON, the cap is 262144" in error.message
