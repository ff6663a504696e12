"""One instance in the hands of one executor: its script, the end of its history, and the message that it came with."""
