"""What runs scripts: V8 by mini-racer's C library, with an isolate or a realm for each run."""
