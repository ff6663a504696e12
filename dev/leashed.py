"""`python leashed.py WORDS` is `workflow-operator WORDS`, but ends at once when its standard input does.

So it dies with the process that holds the other end of that pipe, on every system, kill -9 included.
"""

import os
import signal
import sys
import threading


def _die_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # Only now: it takes a second, in which the parent can die.
    from workflow_operator.cli import main

    main(prog_name="workflow-operator")
