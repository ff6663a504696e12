"""What one transition costs in the operator's and in the projector's process, by what its payload is.

Prints milliseconds of processor time for a payload of 256 KiB, and as a ratio what the same takes where each station
parses the value and writes it again: the ratio holds on noisy machines, the times do not.

    python -m benchmarks.values [ROUNDS]
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from workflow_operator.history import (
    CallRecord,
    EventType,
    InstanceEvent,
    Json,
    decode_event,
    digest,
    encode_event,
    encode_status,
    fold,
)

SIZE = 256 * 1024
PAYLOADS = {
    "one string": b'"' + b"x" * (SIZE - 2) + b'"',
    "[[],[],...]": b"[" + b",".join([b"[]"] * (SIZE // 3 - 1)) + b"]",
    '[{"":0},...]': b"[" + b",".join([b'{"":0}'] * (SIZE // 7 - 1)) + b"]",
}


def event(kind: EventType, sequence: int, **fields: object) -> InstanceEvent:
    made = InstanceEvent(
        version=1,
        event_id=uuid.UUID(int=sequence),
        instance_id=uuid.UUID(int=1),
        namespace="bench",
        type=kind,
        time=datetime.now(UTC),
    )
    return made.replace(**fields, sequence=sequence, previous=sequence - 1)


def operator(payload: bytes) -> bytes:
    """From what the sandbox sent to what goes to NATS."""
    value = Json.checked(payload, "the payload", SIZE)
    call = CallRecord(index="0.1", name="transition", digest=digest({"function": "next", "payload": value}))
    return encode_event(event(EventType.TRANSITION, 2, call=call, function="next", memory=value))


def operator_parsed(payload: bytes) -> bytes:
    value = json.loads(payload)
    canonical = json.dumps({"function": "next", "payload": value}, sort_keys=True, separators=(",", ":"))
    hashlib.sha256(canonical.encode()).hexdigest()
    json.dumps(value, ensure_ascii=False)
    return json.dumps({"memory": value}).encode()


def projector(stored: bytes) -> bytes:
    """From what NATS delivered to the status that is written."""
    started = fold(None, event(EventType.STARTED, 1))
    return encode_status(fold(started, decode_event(stored, sequence=2, previous=1)))


def projector_parsed(stored: bytes) -> bytes:
    value = json.loads(stored)
    json.dumps(value)
    return json.dumps(value).encode()


def milliseconds(work: Callable[[bytes], bytes], data: bytes, rounds: int) -> float:
    begun = time.process_time()
    for _ in range(rounds):
        work(data)
    return (time.process_time() - begun) / rounds * 1000


def main(rounds: int) -> None:
    print(f"{'payload':<14}{'operator ms':>12}{'parsed':>8}{'projector ms':>14}{'parsed':>8}")
    for name, payload in PAYLOADS.items():
        stored = operator(payload)
        one, two = milliseconds(operator, payload, rounds), milliseconds(projector, stored, rounds)
        parsed_one = milliseconds(operator_parsed, payload, rounds) / one
        parsed_two = milliseconds(projector_parsed, stored, rounds) / two
        print(f"{name:<14}{one:>12.2f}{parsed_one:>7.1f}x{two:>14.2f}{parsed_two:>7.1f}x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
