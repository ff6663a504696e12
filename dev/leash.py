"""`python leash.py COMMAND ...` runs a command, and kills it and what it started when the standard input ends.

Start it in a process group of its own. So a compiler dies with the process that holds the other end of that pipe, on
every system, kill -9 included.
"""

import os
import signal
import subprocess
import sys
import threading


def _kill_with_parent(group: int) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, process_group=0)
    threading.Thread(target=_kill_with_parent, args=(process.pid,), daemon=True).start()
    sys.exit(process.wait())
