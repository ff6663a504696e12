"""The role `executor`: more hands beside the operators, where scripts need more machines than objects do.

It speaks to NATS alone. Of what an operator runs beside its executor, it needs two things. The timers: one live replica
of any kind has to queue what falls due, so that runs sleep and wake while no operator is there. And the sweep, while
there is none, for what the last operator executed. The rest is the operators' work, and waits for them: they start and
cancel instances and mirror statuses.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from workflow_operator.app import roles
from workflow_operator.app.health import Readiness, health_endpoints
from workflow_operator.app.logs import RunNames, log_script_line
from workflow_operator.app.settings import Settings
from workflow_operator.engine import SystemClock, follow_queue_depth
from workflow_operator.jetstream import check
from workflow_operator.metrics import Role


async def run_executor(settings: Settings, _: RunNames) -> None:
    """Run until SIGTERM or SIGINT. Waits for NATS at the start.

    Raises:
        TopologyMismatch: an existing stream differs from the declared one.
        Stopped: asked to end before it had started.
    """
    stop = asyncio.Event()
    roles.stop_on_signals(stop)
    readiness = Readiness()
    async with (
        health_endpoints(settings.health_host, settings.health_port, readiness, Role.EXECUTOR),
        AsyncExitStack() as stack,
    ):
        start = roles.Start(stack, readiness, stop)
        transport = await start.enter("nats", lambda: roles.transport(settings, "executor", check))
        executor = await stack.enter_async_context(roles.executor(transport, settings, log_script_line))
        # Who lives did not crash: the others ask when they find a run that it held.
        await start.enter("nats", lambda: roles.membership(transport, settings, "executors"))
        readiness.checks["nats"] = transport.check
        readiness.started()
        parts = {
            "executor": executor.run(),
            "timers": transport.queue.run(),
            "deputy": roles.deputy(transport, executor).run(),
            "queue depth": follow_queue_depth(transport.queue, SystemClock()),
        }
        await roles.run_until_stopped(parts, stop, settings.shutdown_seconds)
