"""Call indexes: the place of a host call in its run, the same in every replay.

An index is ``parent.number``. The number counts the calls of one turn from 1. A turn is one delivery until the
script is idle again, and the parent names that delivery:

    0         the script's own start
    <n>       the delivery of the n-th completion of the history (a position, so indexes stay short however long
              a chain of awaits grows)
    <index>   the start of the function of the call with that index (a step)

A parent that is an index itself holds a dot, so the two cannot be confused. A turn belongs to the function that made
the call delivered. Skipping the function of a recorded step leaves out whole turns, and shifts no index elsewhere, as
long as the function awaits its own calls only.
"""

from __future__ import annotations

from collections.abc import Iterator

ROOT = "0"


def call_index(parent: str, number: int) -> str:
    return f"{parent}.{number}"


class Owners:
    """Finds the functions (steps) that made a call, however many deliveries lie between.

    It must be told of every completion, in history order.
    """

    def __init__(self) -> None:
        self._completed: list[str | None] = []

    def deliver(self, index: str) -> None:
        """The call ``index`` is complete; calls of the turn that this begins belong to whoever made ``index``."""
        self._completed.append(self._owner(index))

    def of(self, index: str) -> Iterator[str]:
        """The calls whose functions made the call ``index``, innermost first."""
        owner = self._owner(index)
        while owner is not None:
            yield owner
            owner = self._owner(owner)

    def _owner(self, index: str) -> str | None:
        parent = index.rpartition(".")[0]
        if parent == ROOT:
            return None
        return parent if "." in parent else self._completed[int(parent) - 1]
