"""Call indexes: the place of a host call in its run, the same in every replay.

An index is ``parent.number``. The number counts the calls of one turn from 1. A turn is one delivery until the
script is idle again, and the parent names that delivery:

    0         the script's own start
    <n>       the delivery of the n-th completion of the history (a position, so indexes stay short however long
              a chain of awaits grows)

What an attempt of a step does is not recorded, so its turns have no parent and shift no index.
"""

from __future__ import annotations

ROOT = "0"


def call_index(parent: str, number: int) -> str:
    return f"{parent}.{number}"
