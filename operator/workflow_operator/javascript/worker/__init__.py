"""The sandbox process: V8, one script at a time, confined.

Imports the standard library and py_mini_racer only. It knows nothing of replay: it forwards host calls.
"""
