"""Runs actions of a test in realms of an engine, in this process and without the prelude."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from py_mini_racer import _dll

from workflow_operator.javascript.worker.vm import engines
from workflow_operator.javascript.worker.vm.bridge import Fresh, Realm

T = TypeVar("T")

# What stands in the prelude's place: it exposes the exchange to the test's own scripts, as `send`.
_CONTROL = """
  return function () {
    'use strict';
    if (!connected) { connected = true; return connect(this); }
    globalThis.given = this;
    return typeof this === 'function' ? this() : typeof this === 'object' ? this.text : undefined;
  };
})()"""
BUFFER = f"""(() => {{
  const buffer = new ArrayBuffer(8 + 2 * 16);
  const header = new Int32Array(buffer, 0, 2), units = new Uint16Array(buffer, 8);
  let connected = false, call;
  globalThis.tell = (text) => send(2, text);
  globalThis.ask = (text) => send(3, text)[1];
  globalThis.send = (operation, text) => {{
    for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
    header[0] = operation; header[1] = typeof count === 'number' ? count : text.length;
    call();
    return [header[0], String.fromCharCode(...units.slice(0, header[1]))];
  }};
  function connect(native) {{
    call = native;
    globalThis[0] = (...told) => {{ globalThis.rejections = (globalThis.rejections ?? 0) + told.length }};
    call();
    delete globalThis[0];
    return buffer;
  }}
  {_CONTROL}"""
MAILBOX = f"""(() => {{
  let connected = false;
  const rejection = (...told) => {{ globalThis.rejections = (globalThis.rejections ?? 0) + told.length }};
  const mailbox = Object.setPrototypeOf([undefined, undefined, undefined, undefined, rejection], null);
  globalThis.tell = (text) => {{ mailbox[0] = text; mailbox[1]() }};
  globalThis.ask = (text) => {{ mailbox[0] = text; mailbox[2](); return mailbox[0] }};
  globalThis.measure = (text) => {{ mailbox[0] = text; mailbox[3](); return mailbox[0] }};
  const connect = () => mailbox;
  {_CONTROL}"""


class Recorder:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.asked: list[str] = []
        self.reply = ""

    def tell(self, message: bytes) -> None:
        self.told.append(message.decode())

    def ask(self, message: bytes) -> bytes:
        self.asked.append(message.decode())
        return self.reply.encode()


class Actions:
    """Jobs, each an action; what it returns or raises is kept."""

    def __init__(self, actions: tuple[Callable[[Realm], Any], ...]) -> None:
        self._left = list(actions)
        self.results: list[Any] = []
        self.collects = False

    def run(self, realm: Realm) -> None:
        try:
            self.results.append(self._left.pop(0)(realm))
        except Exception as error:
            self.results.append(error)

    def ended(self, collect: Callable[[], None]) -> bool:
        if self.collects:
            collect()
        return bool(self._left)


class Harness:
    def __init__(self, fresh: Fresh) -> None:
        if _dll._dll_handle is None:
            engines.initialise()
        self.fresh = fresh
        self.recorder = Recorder()
        self.broken: list[BaseException] = []

    def each(self, *actions: Callable[[Realm], Any], collects: bool = False) -> list[Any]:
        """What the actions return or raise, each in a realm of its own, one after the other."""
        source = MAILBOX if self.fresh == "realm" else BUFFER
        engine = engines.engine(self.fresh, source, self.recorder, on_error=self.broken.append)
        jobs = Actions(actions)
        jobs.collects = collects
        engine.serve(jobs)
        return jobs.results

    def one(self, action: Callable[[Realm], T]) -> T:
        (result,) = self.each(action)
        if isinstance(result, Exception):
            raise result
        assert not self.broken
        return result  # type: ignore[no-any-return]

    def text(self, expression: str) -> str:
        return self.one(lambda realm: realm.text(expression))
