"""Call indexes: the place of a host call in its run, the same in every replay.

An index is ``parent.number``. The number counts the calls of one turn from 1. A turn is one delivery until the
script is idle again, and the parent names that delivery:

    0         the script's own start
    <n>       the delivery of the n-th completion of the history (a position, so indexes stay short however long
              a chain of awaits grows)
    <index>   the start of the function of the call with that index (a step)

A parent that is an index itself holds a dot, so the two cannot be confused. Skipping the function of a recorded
step leaves out whole turns, and shifts no index elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

ROOT = "0"


def call_index(parent: str, number: int) -> str:
    return f"{parent}.{number}"


def lies_within(index: str, call: str) -> bool:
    """Whether the call ``index`` was made by the function of ``call``, or deeper."""
    return index.startswith(f"{call}.")


def enclosing(index: str) -> Iterator[str]:
    """The calls whose functions made the call ``index``, innermost first."""
    parent = index.rpartition(".")[0]
    while "." in parent:
        yield parent
        parent = parent.rpartition(".")[0]
