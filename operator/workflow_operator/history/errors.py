"""Every error of the engine, as one tree.

Each class says who must act: a ``Retryable`` error may go away by itself and the work is tried again; a
``Terminal`` error stays, and ends the run (a ``ScriptError``) or the command (anything else).

    WorkflowError
    ├── Retryable
    │   ├── Unavailable            NATS or the API server does not answer now
    │   │   └── Refused            NATS answers and does not let us in: somebody must mend the login
    │   └── Conflict               someone else appended first
    └── Terminal
        ├── InvalidInput           a name, manifest, script or argument that cannot be accepted
        │   └── UnreadableStatus   what stands in the place of a status is none; the history makes it again
        ├── NotFound               no such instance
        ├── UnknownFormat          an event or status written by a newer release
        ├── TopologyMismatch       an existing stream or consumer differs from the declared one
        └── ScriptError            ends the run as failed, and is shown in the status
            ├── Thrown             the script threw a value, or does not parse
            ├── Timeout            the script ran longer than the wall-clock limit between two host calls
            ├── CpuLimit           the script used more processor time than the limit
            ├── MemoryLimit        the script used more memory than the limit
            ├── HostLimit          what the script sends took its executor more time than the limit
            ├── EngineCrash        the sandbox process died, or the run keeps killing its executor
            ├── HistoryLimit       the history of the run is longer or larger than the cap
            ├── PayloadTooLarge    a value is larger than the cap
            ├── Deadlock           the script waits for something that nothing will answer
            ├── NonDeterminism     the script asked for something else than the history holds
            └── NotSerializable    a value has no JSON form (a cycle, a BigInt, a function)
"""

from __future__ import annotations


class WorkflowError(Exception):
    """Base of the tree."""


class Retryable(WorkflowError):
    """May go away by itself; the work is tried again."""


class Terminal(WorkflowError):
    """Stays; trying again gives the same."""


class Unavailable(Retryable):
    """NATS or the API server does not answer now. ``retry_after`` is the wait that it asked for, in seconds."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(Unavailable):
    """NATS answers and does not let us in: a login, a certificate or a permission is wrong.

    Retryable, because it is mended outside of this process, which must then go on by itself.
    """


class Conflict(Retryable):
    """Someone else appended to the history, or wrote the status, first."""


class InvalidInput(Terminal):
    """A name, manifest, script or argument that cannot be accepted."""


class UnreadableStatus(InvalidInput):
    """What stands in the place of a status is none; ``sequence`` is where. The history makes the status again."""

    def __init__(self, message: str, sequence: int) -> None:
        super().__init__(message)
        self.sequence = sequence


class NotFound(Terminal):
    """No such instance."""


class RunFinished(Terminal):
    """The instance has ended: nothing reaches it any more."""


class TooManySignals(Terminal):
    """The instance has received as many signals as it may, and taken too few of them."""


class UnknownFormat(Terminal):
    """An event or status written by a newer release; left to a newer replica."""


class TopologyMismatch(Terminal):
    """An existing stream or consumer differs from the declared one."""


class ScriptError(Terminal):
    """Ends the run as failed. ``name``, ``message``, ``line`` and ``column`` are what ``status.error`` shows.

    ``line`` and ``column`` count from 1 in the user's own script; None where there is no place to name.
    """

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column

    @property
    def name(self) -> str:
        return type(self).__name__


class Thrown(ScriptError):
    """The script threw a value, or does not parse.

    ``name`` is the thrown error's own name, ``stack`` its frames in the user's script, one a line, if any.
    """

    def __init__(
        self, name: str, message: str, *, line: int | None = None, column: int | None = None, stack: str = ""
    ) -> None:
        super().__init__(message, line=line, column=column)
        self._name = name
        self.stack = stack

    @property
    def name(self) -> str:
        return self._name


class Timeout(ScriptError):
    """The script ran longer than the wall-clock limit between two host calls."""


class CpuLimit(ScriptError):
    """The script used more processor time than the limit."""


class MemoryLimit(ScriptError):
    """The script used more memory than the limit."""


class HostLimit(ScriptError):
    """What the script sends took its executor more time than the limit."""


class EngineCrash(ScriptError):
    """The sandbox process died, or the run keeps killing its executor."""


class HistoryLimit(ScriptError):
    """The history of the run is longer or larger than the cap."""


class PayloadTooLarge(ScriptError):
    """A value is larger than the cap."""


class Deadlock(ScriptError):
    """The script waits for something that nothing will answer."""


class NonDeterminism(ScriptError):
    """The script asked for something else than the history holds."""


class NotSerializable(ScriptError):
    """A value has no JSON form: a cycle, a BigInt, a function."""
