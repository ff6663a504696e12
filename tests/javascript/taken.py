"""A sandbox process that somebody else has taken over."""

from __future__ import annotations

import os
import socket
from typing import Any

from tests.fakes.polling import eventually
from tests.javascript.sandbox import job
from workflow_operator.javascript.host import Job, Session
from workflow_operator.javascript.host.process import SandboxProcess
from workflow_operator.javascript.worker.wire import encode

CALL = {"kind": "call", "name": "sleep", "line": 1, "column": 1, "arguments": {"seconds": 1}}
TOLD = {"kind": "call", "name": "transition", "line": 1, "column": 1, "arguments": {"function": "f", "payload": 1}}
LOG = {"kind": "log", "level": "info", "text": "x"}
END = {"kind": "returned", "output": 1}
READY = {"kind": "ready", "pid": os.getpid()}
FAILED = {
    "kind": "failed",
    "error": "Thrown",
    "name": "N",
    "message": "m",
    "line": None,
    "column": None,
    "stack": "",
    "cause": "",
}


class Taken:
    """The sandbox's end of the socket, in other hands."""

    def __init__(self, end: socket.socket, bell: int, session: Session, process: SandboxProcess) -> None:
        self.end = end
        self.bell = bell
        self.session = session
        self.process = process
        self.killed: list[str] = []

    def say(self, *messages: dict[str, Any]) -> None:
        self.say_raw(b"".join(encode(message) for message in messages))

    def say_raw(self, data: bytes) -> None:
        self.end.sendall(data)
        os.write(self.bell, b"\0")

    async def begin(self, what: Job | None = None) -> None:
        self.say(READY)
        await self.session.begin(what or job(""))

    async def arrived(self) -> None:
        await eventually(lambda: self.process.channel.pending)
