"""Replay: how a script that runs again from its top gets the results that its history holds.

Pure: call indexes, the order of delivery, what a queued instance needs next, and what a parked one waits for.
"""

from workflow_operator.replay.claims import (
    Abandon,
    Cancel,
    Drive,
    Ended,
    Missing,
    Sight,
    Sleeping,
    cancel_request,
    crashes_in_a_row,
    driver_without_queue,
    next_action,
    open_timer,
    overtaken_by,
    silent_claimers,
)
from workflow_operator.replay.replay import Delivery, Mode, New, Recorded, Replay, Start, Unanswered
from workflow_operator.replay.signals import Signals
from workflow_operator.replay.suspension import Suspensions

__all__ = [
    "Abandon",
    "Cancel",
    "Delivery",
    "Drive",
    "Ended",
    "Missing",
    "Mode",
    "New",
    "Recorded",
    "Replay",
    "Sight",
    "Signals",
    "Sleeping",
    "Start",
    "Suspensions",
    "Unanswered",
    "cancel_request",
    "crashes_in_a_row",
    "driver_without_queue",
    "next_action",
    "open_timer",
    "overtaken_by",
    "silent_claimers",
]
