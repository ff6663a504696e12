"""Whether the watch lives: the API server says something at least once a minute. Pure; the clock is passed in."""

from __future__ import annotations

from typing import Final

BOOKMARK_SECONDS: Final = 60.0
"""The API server sends a bookmark to each watch that asks for them: once a minute, and before it ends one."""
SILENT_SECONDS: Final = 75.0
"""A watch that has said nothing for as long is told of."""
DEAD_SECONDS: Final = 110.0
"""A watch that has said nothing for as long, of a server that answers, does not come back by itself."""
ANSWERING_SECONDS: Final = 30.0
"""kopf tries a refused or lost connection again after 20 s at the latest."""


class Pulse:
    """When each watch last spoke, in seconds of any clock that only goes forward."""

    def __init__(self, watches: int, now: float) -> None:
        """``watches``: one for each watched namespace, or one for all."""
        self._watches = watches
        self._began = now
        self._heard: dict[str, float] = {}
        self._listed: set[str] = set()
        self._answering_since: float | None = None

    def heard(self, watch: str, now: float) -> None:
        """A watch has said something."""
        self._heard[watch] = now

    def listed(self, watch: str) -> None:
        """The list before a watch was read to its end."""
        self._listed.add(watch)

    def server_answers(self, answers: bool, now: float) -> None:
        """Whether the API server answers to others than the watch."""
        if not answers:
            self._answering_since = None
        elif self._answering_since is None:
            self._answering_since = now

    @property
    def begun(self) -> bool:
        """Whether all objects have been seen once: the list before every watch was read."""
        return len(self._listed) >= self._watches

    def silence(self, now: float) -> float:
        """Seconds for which the quietest watch has said nothing."""
        return now - (min(self._heard.values()) if len(self._heard) >= self._watches else self._began)

    def problem(self, now: float) -> str | None:
        """None if the watch is well, else what is wrong, in words for /readyz."""
        silence = self.silence(now)
        if silence >= SILENT_SECONDS:
            return f"has said nothing for {silence:.0f} s; expected something each {BOOKMARK_SECONDS:.0f} s"
        return None if self.begun else "has not read the list of all runs yet"

    def dead(self, now: float) -> bool:
        """Whether the process has to begin anew: the server answers, and the watch does not speak."""
        since = self._answering_since
        return self.silence(now) >= DEAD_SECONDS and since is not None and now - since >= ANSWERING_SECONDS
