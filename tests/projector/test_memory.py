"""A projector in the chart's 512 MiB folds any backlog, whatever values scripts have put into it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.polling import eventually
from tests.fakes.records import event, new_key
from workflow_operator.history import EventType, InstanceKey, Json
from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.server import EmbeddedServer

MIB = 1024 * 1024
LIMIT_BYTES = 512 * MIB
# Parsed, this takes 26 times its bytes.
PAYLOAD = Json(b"[" + b",".join([b"[]"] * 80_000) + b"]")


async def backlog(bus: JetStreamDataBus, transitions: int) -> tuple[InstanceKey, int]:
    """A history that nobody has folded; its key and last sequence."""
    key = new_key()
    last = await bus.push_instance_event(event(key, input=PAYLOAD), 0)
    for _ in range(transitions):
        last = await bus.push_instance_event(event(key, EventType.TRANSITION, memory=PAYLOAD), last.sequence)
    return key, last.sequence


@asynccontextmanager
async def projector(server: EmbeddedServer) -> AsyncIterator[int]:
    """The role in a process of its own; its pid."""
    settings = {"WORKFLOW_OPERATOR_NATS_URL": server.url, "WORKFLOW_OPERATOR_HEALTH_PORT": "0"}
    command = "from workflow_operator.cli.main import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", command, "projector", env=os.environ | settings, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process.pid
        assert process.returncode is None
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def peak_bytes(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


@pytest.mark.parametrize(("instances", "transitions"), [(1, 215), (8, 40)], ids=["50 MiB of one run", "8 runs at once"])
async def test_a_backlog_of_any_size_fits(
    instances: int, transitions: int, bus: JetStreamDataBus, nats_server: EmbeddedServer
) -> None:
    written = dict(await asyncio.gather(*(backlog(bus, transitions) for _ in range(instances))))
    async with projector(nats_server) as pid:

        async def folded() -> bool:
            assert peak_bytes(pid) < LIMIT_BYTES
            found = await bus.query_statuses(list(written))
            return {key: status.history_sequence for key, status in found.items()} == written

        await eventually(folded, deadline_seconds=120)
        peak = peak_bytes(pid)
    assert peak < LIMIT_BYTES / 2, f"{peak // MIB} MiB"
    for status in (await bus.query_statuses(list(written))).values():
        assert (status.memory, status.steps) == (PAYLOAD, transitions)
        assert status.history_bytes is not None
        assert status.history_bytes > transitions * len(PAYLOAD)
