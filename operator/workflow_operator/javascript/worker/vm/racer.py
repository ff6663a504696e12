"""py_mini_racer, of which only the part that calls V8 is used."""

from __future__ import annotations

from workflow_operator.lazy import put_off

# Its own classes need it, which are not used here: a third of the start, and more for a sandbox to hold.
put_off("asyncio")
from py_mini_racer import _dll as dll  # noqa: E402

__all__ = ["dll"]
