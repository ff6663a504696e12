"""The statuses that were written lately, for who looks now and then and follows nothing."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from workflow_operator.history.errors import InvalidInput, UnknownFormat
from workflow_operator.history.status import InstanceStatus, decode_status
from workflow_operator.history.subjects import STATUS as STATUS_PREFIX
from workflow_operator.history.subjects import InstanceKey
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.reads import Stored, direct_batch
from workflow_operator.jetstream.streams.topology import STATUS

logger = logging.getLogger(__name__)

# What is being executed writes a status more often, unless a script computes for longer.
_LATELY = timedelta(minutes=5)
_BATCH = 500


class RecentStatuses:
    """Reads each status once that was written in the last five minutes, and from then on what is written."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._after = 0

    async def read(self, now: datetime) -> list[InstanceStatus]:
        """All that were written since the last time; of each instance the last one, without values.

        Raises:
            Unavailable: NATS does not answer.
        """
        found: dict[InstanceKey, InstanceStatus] = {}
        complete = False
        while not complete:
            batch = await direct_batch(self._connection, STATUS, self._request(now))
            for stored in batch.messages:
                self._after = stored.sequence
                status = _read(stored)
                if status is not None:
                    # Whoever sweeps needs no values, and they can be large.
                    found[status.key] = status.replace(script=None, input=None, memory=None, output=None)
            complete = batch.complete or not batch.messages
        return list(found.values())

    def _request(self, now: datetime) -> dict[str, Any]:
        wanted = {"next_by_subj": f"{STATUS_PREFIX}.*.*", "batch": _BATCH}
        if self._after:
            return {"seq": self._after + 1, **wanted}
        return {"start_time": (now - _LATELY).isoformat(), **wanted}


def _read(stored: Stored) -> InstanceStatus | None:
    try:
        key = InstanceKey.of_subject(stored.subject)
        return decode_status(stored.data, sequence=stored.sequence, key=key)
    except (UnknownFormat, InvalidInput) as error:
        logger.warning("%s: left out: %s", stored.subject, error)
        return None
