"""`python counted.py FOLDER ROLE` is `dev/leashed.py ROLE`, with the calls of some functions counted in FOLDER/ROLE.

Each function is wrapped where its callers look it up. The file is an array of 64 bit numbers, in the order of COUNTED,
which another process may read at any time.
"""

from __future__ import annotations

import functools
import importlib
import mmap
import runpy
import struct
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEASHED = Path(__file__).parents[2] / "dev" / "leashed.py"
_PACKAGE = "workflow_operator"
COUNTED = {
    "events decoded": ("history.events", "decode"),
    "statuses decoded": ("history.status", "decode"),
    "appends": ("jetstream.bus", "JetStreamDataBus.append"),
    "histories read": ("jetstream.bus", "JetStreamDataBus.read_history"),
    "status reads": ("jetstream.bus", "JetStreamDataBus.query_statuses"),
    "statuses written": ("jetstream.bus", "JetStreamDataBus.write_status"),
    "frames to sandboxes": ("javascript.host.channel", "Channel.send"),
    "frames from sandboxes": ("javascript.host.channel", "Channel.take"),
    "waits for sandboxes": ("javascript.host.channel", "Channel.wait"),
    "sandbox processes": ("javascript.host.process", "Zygote.fork"),
}
_FORMAT = f"={len(COUNTED)}Q"


def counts(folder: Path) -> Counter[str]:
    """What was counted so far, by "role: what"."""
    found: Counter[str] = Counter()
    for file in folder.iterdir():
        numbers = struct.unpack(_FORMAT, file.read_bytes())
        found.update({f"{file.name}: {what}": number for what, number in zip(COUNTED, numbers, strict=True)})
    return found


def _count(file: Path) -> None:
    file.write_bytes(bytes(struct.calcsize(_FORMAT)))
    with file.open("r+b") as opened:
        numbers = memoryview(mmap.mmap(opened.fileno(), 0)).cast("Q")
    for place, (module, path) in enumerate(COUNTED.values()):
        owner: Any = importlib.import_module(f"{_PACKAGE}.{module}")
        *names, last = path.split(".")
        for name in names:
            owner = getattr(owner, name)
        setattr(owner, last, _counting(getattr(owner, last), numbers, place))


def _counting(function: Callable[..., Any], numbers: memoryview, place: int) -> Callable[..., Any]:
    @functools.wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        numbers[place] += 1
        return function(*args, **kwargs)

    return counted


if __name__ == "__main__":
    _count(Path(sys.argv.pop(1)) / sys.argv[1])
    runpy.run_path(str(LEASHED), run_name="__main__")
