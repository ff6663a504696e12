"""The engine's numbers, each with its unit and the reason for its default."""

from __future__ import annotations

from dataclasses import dataclass, field

from workflow_operator.javascript.host import Limits


@dataclass(frozen=True)
class EngineLimits:
    """Limits of execution; the settings of the application fill them.

    Args:
        slots: runs that one executor drives at once. Each holds a sandbox process of some megabytes.
        namespace_slots_share: how much of the slots one namespace may hold while it is alone; beside others less, so
            that one more always finds a slot. 1 lets it hold all.
        heartbeat_seconds: how often a held message is extended and the history looked at for a claim or a cancel
            request by someone else. Well below the queue's redelivery time.
        park_after_seconds: a sleep longer than this gives up its sandbox; a shorter one costs less when waited for
            than a replay.
        slice_seconds: after this long in its slot, a run is parked at its next sleep however short: runs that sleep
            little and often must not keep the others waiting. While others wait, it is 5 s at most, a run is parked at
            a step too, and at any sleep at once.
        crash_limit: crashes of executors or sandboxes in a row, without a new event, after which a run is failed.
        history_events: events of one run after which it is failed. The same as Temporal's, which found it to be where
            replays become too slow.
        history_bytes: bytes of all events of one run after which it is failed; the same as Temporal's.
        answers_bytes: bytes of all answers to one run's requests after which it is failed: an executor that goes on
            with the run holds them in memory, those of 16 slots within 256 MiB.
        request_seconds: how long a call from outside (execute, cancel) waits for NATS.
        sandbox: limits of one script.
    """

    slots: int = 16
    namespace_slots_share: float = 0.5
    heartbeat_seconds: float = 2.0
    park_after_seconds: float = 5.0
    slice_seconds: float = 30.0
    crash_limit: int = 5
    history_events: int = 51_200
    history_bytes: int = 50 * 1024 * 1024
    answers_bytes: int = 16 * 1024 * 1024
    request_seconds: float = 10.0
    sandbox: Limits = field(default_factory=Limits)
