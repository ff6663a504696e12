"""What release 0.2 had in one stream: queue and timers, which are taken from it for as long as it is there.

Nothing is put into it, it is never made, and it is left as it is: replicas of that release may run beside ours.
"""

from __future__ import annotations

from workflow_operator.history.subjects import InstanceKey

EXECUTION = "EXECUTION"
EXECUTORS = "executors"
TIMERS = "timers"

QUEUE_SUBJECTS = "execution.queue.*.*"
TIMER_SUBJECTS = "execution.timer.*.*.*"


def due_subject(key: InstanceKey) -> str:
    """Where a timer that fired waits to be queued."""
    return key.subject("execution.due")


def timer_subject(key: InstanceKey, cause: int) -> str:
    """Where a timer waits for its time; ``cause`` is the sequence of the event that parked the instance."""
    return f"{key.subject('execution.timer')}.{cause}"
