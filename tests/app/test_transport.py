"""What a role shows of its connection to NATS."""

from __future__ import annotations

import pytest

from tests.fakes.counted import Moved, sample
from tests.fakes.polling import eventually
from workflow_operator.app import roles
from workflow_operator.app.settings import Settings
from workflow_operator.jetstream import EmbeddedServer

pytestmark = pytest.mark.integration


async def test_the_connection_and_its_returns_are_shown(nats_server: EmbeddedServer) -> None:
    moved = Moved()
    async with roles.transport(Settings(nats_url=nats_server.url), "tests"):
        assert sample("nats_connected") == 1
        nats_server.kill()
        await eventually(lambda: sample("nats_connected") == 0)
        await nats_server.start()
        await eventually(lambda: sample("nats_connected") == 1)
        await eventually(lambda: moved.by("nats_reconnects_total") == 1)
    assert sample("nats_connected") == 0
