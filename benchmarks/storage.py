"""What runs cost on the disk of NATS, in bytes as JetStream counts them against its limit: messages before compression.

python -m benchmarks.storage [RUNS]
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.engine import installation
from benchmarks.scripts import ONE
from benchmarks.scripts import SCRIPTS as USUAL
from workflow_operator.app import roles

STREAMS = ("HISTORY", "STATUS")
SCRIPTS = {
    ONE: USUAL[ONE],
    "100 transitions of 2 bytes": """
        function main() { for (let i = 10; i < 110; i++) transition(step, i % 90 + 10); }
        function step(n) { return n; }""",
    "100 transitions of 1,000 bytes": """
        function main() { for (let i = 0; i < 100; i++) transition(step, "x".repeat(998)); }
        function step(text) { return text.length; }""",
    "5 parked sleeps": "function main() { for (let i = 0; i < 5; i++) sleep(1); }",
}


async def stored(transport: roles.Transport) -> dict[str, tuple[int, int]]:
    """Messages and bytes of each stream."""
    found = {}
    for name in STREAMS:
        state = (await transport.connection.api(f"STREAM.INFO.{name}", {}))["state"]
        found[name] = (state["messages"], state["bytes"])
    return found


async def main(count: int) -> None:
    async with installation(park_after_seconds=0.1) as engine:
        for name, script in SCRIPTS.items():
            before = await stored(engine.transport)
            await engine.load(script, count)
            after = await stored(engine.transport)
            (messages, history), (_, status) = (
                (after[each][0] - before[each][0], after[each][1] - before[each][1]) for each in STREAMS
            )
            print(
                f"{name:32} {messages / count:6.0f} messages a run, {history / count:8.0f} bytes of HISTORY "
                f"({history / messages:5.0f} a message), {status / count:6.0f} of STATUS"
            )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
