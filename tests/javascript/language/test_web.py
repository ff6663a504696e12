"""The web's globals that are pure: addresses, text and bytes, copies."""

# ruff: noqa: E501 - tables of scripts, one a line

from __future__ import annotations

import json

import pytest

from tests.javascript.sandbox import run
from workflow_operator.javascript.host import Session

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

# From the rules of the URL standard.
ADDRESSES = [
    ("https://shop.example/orders?state=open&page=2", None, "https://shop.example/orders?state=open&page=2"),
    (
        "HTTP://ÜSER:pä ss@EXAMPLE.com:80/a/../b/./c?q=ä '#frag ment",
        None,
        "http://%C3%9CSER:p%C3%A4%20ss@example.com/b/c?q=%C3%A4%20%27#frag%20ment",
    ),
    ("../x?y#z", "http://h/a/b/c", "http://h/a/x?y#z"),
    ("//other/p", "https://h/", "https://other/p"),
    ("?q", "http://h/a/b?c#d", "http://h/a/b?q"),
    ("#f", "http://h/a?c", "http://h/a?c#f"),
    ("http://[2001:db8::0:1]/", None, "http://[2001:db8::1]/"),
    ("http://[::ffff:1.2.3.4]/", None, "http://[::ffff:102:304]/"),
    ("http://0x7f.1/", None, "http://127.0.0.1/"),
    ("http://1.2.3", None, "http://1.2.0.3/"),
    ("http://256.1.1.1/", None, None),
    ("http://münchen.de/ä", None, "http://xn--mnchen-3ya.de/%C3%A4"),
    ("http://日本語.jp", None, "http://xn--wgv71a119e.jp/"),
    ("http://faß.de", None, "http://xn--fa-hia.de/"),
    ("http://\uff27\uff2f.com", None, "http://go.com/"),
    ("http://exa%6dple.com/%7Efoo", None, "http://example.com/%7Efoo"),
    ("http:\\\\h\\p", None, "http://h/p"),
    ("  http://h/\ta\nb  ", None, "http://h/ab"),
    ("file:///C|/x/../y", None, "file:///C:/y"),
    ("file://localhost/a", None, "file:///a"),
    ("mailto:a@b c", None, "mailto:a@b c"),
    ("data:text/plain,hi", None, "data:text/plain,hi"),
    ("non-special://h:80/p/../q", None, "non-special://h:80/q"),
    ("http://h:99999/", None, None),
    ("http://a b/", None, None),
    ("http://", None, None),
    ("x", None, None),
    ("/p", "mailto:x", None),
    ("", "https://h/a?b#c", "https://h/a?b"),
]


async def test_addresses_are_read_as_the_standard_says(session: Session) -> None:
    script = f"""function main() {{
      return {json.dumps([list(row[:2]) for row in ADDRESSES])}.map(([input, base]) => {{
        try {{ return new URL(input, base ?? undefined).href }} catch (error) {{ if (error instanceof TypeError) return null; throw error }}
      }})
    }}"""
    found = (await run(session, script)).returned()
    assert dict(zip([row[:2] for row in ADDRESSES], found, strict=True)) == {row[:2]: row[2] for row in ADDRESSES}


async def test_parts_of_an_address_can_be_read_and_set(session: Session) -> None:
    script = """function main() {
      const u = new URL('https://me:pw@a.b:8443/c?x=1&y=2&x=3#h'), p = u.searchParams
      const parts = [u.origin, u.protocol, u.username, u.password, u.host, u.hostname, u.port, u.pathname, u.search, u.hash]
      p.append('z', 'a b&c=ä'); p.delete('y'); p.set('x', '9')
      const changed = [u.href, p.get('x'), p.get('none'), p.getAll('x'), p.has('z', 'other'), p.size, [...p]]
      u.pathname = '/x y/../z'; u.port = '8080'; u.hostname = 'münchen.de'; u.protocol = 'http'; u.hash = ''; u.password = ''; u.search = '?n=1'
      const set = [u.href, p.get('n'), JSON.stringify({ u }), `${u}`]
      u.port = '99999'; u.host = 'bad host'; u.protocol = 'mailto'
      return [parts, changed, set, u.href, URL.canParse('x'), URL.parse('x'), String(URL.parse('y', 'http://h'))]
    }"""
    address = "http://me@xn--mnchen-3ya.de:8080/z?n=1"
    assert (await run(session, script)).returned() == [
        ["https://a.b:8443", "https:", "me", "pw", "a.b:8443", "a.b", "8443", "/c", "?x=1&y=2&x=3", "#h"],
        ["https://me:pw@a.b:8443/c?x=9&z=a+b%26c%3D%C3%A4#h", "9", None, ["9"], False, 2, [["x", "9"], ["z", "a b&c=ä"]]],
        [address, "1", json.dumps({"u": address}, separators=(",", ":")), address],
        address, False, None, "http://h/y",
    ]  # fmt: skip


async def test_search_parameters(session: Session) -> None:
    script = """function main() {
      const s = new URLSearchParams('?b=2&a=1&a=0&c=%zz&d=x+y&&e')
      s.sort()
      return [`${s}`, `${new URLSearchParams({ k: 'é+' })}`, `${new URLSearchParams([['k', 'v'], ['k', 'w']])}`, [...s.keys()].length,
        Object.fromEntries(new URLSearchParams('a=1&b=%20')), s.size]
    }"""
    assert (await run(session, script)).returned() == [
        "a=1&a=0&b=2&c=%25zz&d=x+y&e=", "k=%C3%A9%2B", "k=v&k=w", 6, {"a": "1", "b": " "}, 6,
    ]  # fmt: skip


async def test_text_and_bytes(session: Session) -> None:
    script = """function main() {
      const e = new TextEncoder(), d = new TextDecoder(), parts = new TextDecoder()
      const refused = (action) => { try { action() } catch (error) { return error.name } }
      return [
        Array.from(e.encode('aé€😀\\ud800')), d.decode(e.encode('aé€😀')),
        d.decode(new Uint8Array([0xf0, 0x9f, 0x98, 0x41, 0xc0, 0x80, 0xed, 0xa0, 0x80])),
        parts.decode(new Uint8Array([0xe2, 0x82]), { stream: true }) + parts.decode(new Uint8Array([0xac])),
        d.decode(new Uint8Array([0xef, 0xbb, 0xbf, 65])), new TextDecoder('utf-8', { ignoreBOM: true }).decode(new Uint8Array([0xef, 0xbb, 0xbf])).length,
        new TextDecoder('utf-16le').decode(new Uint8Array([65, 0, 0x3d, 0xd8, 0, 0xde])), new TextDecoder('latin1').decode(new Uint8Array([0xe9, 0x80])),
        refused(() => new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([0xff]))), refused(() => new TextDecoder('koi8-r')),
        e.encodeInto('é€', new Uint8Array(4)), btoa('hello'), atob(' aGVs bG8='), refused(() => atob('a')), refused(() => btoa('€')),
        atob(btoa(String.fromCharCode(...Array(256).keys()))).length,
      ]
    }"""
    assert (await run(session, script)).returned() == [
        [97, 195, 169, 226, 130, 172, 240, 159, 152, 128, 239, 191, 189], "aé€😀",
        "\ufffdA\ufffd\ufffd\ufffd\ufffd\ufffd", "€", "A", 1, "A😀", "é€", "TypeError", "RangeError",
        {"read": 1, "written": 2}, "aGVsbG8=", "hello", "InvalidCharacterError", "InvalidCharacterError", 256,
    ]  # fmt: skip


async def test_a_structured_clone_keeps_what_json_loses(session: Session) -> None:
    script = """function main() {
      const round = { list: [1, , 3] }
      round.self = round
      const copy = structuredClone({ map: new Map([[1, { set: new Set([2]) }]]), date: new Date(5), regexp: /x/gi, error: new TypeError('t', { cause: 'c' }),
        bytes: new Uint8Array([1, 2]), round, big: 5n, boxed: new Number(7) })
      const refused = (value) => { try { structuredClone(value) } catch (error) { return error.name } }
      return [copy.map.get(1).set.has(2), copy.date.getTime(), `${copy.regexp}`, copy.error instanceof TypeError, copy.error.message, copy.error.cause,
        Array.from(copy.bytes), copy.round.self === copy.round, copy.round !== round, 1 in copy.round.list, copy.big === 5n, copy.boxed + 1,
        refused({ f() {} }), refused(Symbol()), refused([Promise.resolve()])]
    }"""
    assert (await run(session, script)).returned() == [
        True, 5, "/x/gi", True, "t", "c", [1, 2], True, True, False, True, 8, *["DataCloneError"] * 3,
    ]  # fmt: skip


NAMES = [
    "transition",
    "finish",
    "sleep",
    "id",
    "now",
    "log",
    "print",
    "fetch",
    "fetchSync",
    "getSecret",
    "step",
    "waitForEvent",
    "console",
    "setTimeout",
    "setInterval",
    "setImmediate",
    "clearTimeout",
    "XMLHttpRequest",
    "WebSocket",
    "Worker",
    "crypto",
    "self",
    "global",
    "queueMicrotask",
    "URL",
    "URLSearchParams",
    "TextEncoder",
    "TextDecoder",
    "atob",
    "btoa",
    "structuredClone",
    "ArrayBuffer",
    "Uint8Array",
    "BigInt64Array",
    "Error",
    "Date",
    "process",
    "require",
    "module",
    "exports",
    "Buffer",
    "performance",
]


@pytest.mark.parametrize(
    "kind",
    [
        "const {} = mine",
        "let {} = mine",
        "var {} = mine",
        "function {}() {{ return 'mine' }}",
        "class {} {{ static mine = 1 }}",
    ],
)
async def test_a_script_may_declare_each_of_these_names(session: Session, kind: str) -> None:
    # One run for each name: a declaration of Error or Date is for the script that makes it.
    for name in NAMES:
        if name == "log" and kind.startswith("function"):
            continue
        script = f"const mine = () => 'mine'; {kind.format(name)}\nfunction main() {{ return [typeof {name}, {name}.name === '{name}' || {name} === mine] }}"
        assert (await run(session, script)).returned() == ["function", True], name


async def test_what_bundles_look_for_is_what_they_expect(session: Session) -> None:
    script = "function main() { return [self === globalThis, global === globalThis, typeof process, typeof require, typeof window, typeof module, typeof define, typeof setTimeout] }"
    assert (await run(session, script)).returned() == [True, True, *["undefined"] * 5, "function"]
