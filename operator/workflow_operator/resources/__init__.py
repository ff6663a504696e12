"""The custom resource WorkflowRun: its types, and the CRD and reference generated from them.

Pure: nothing here but ``generate`` does I/O, and nothing reads a clock. Whoever needs the types imports ``run``, which
loads pydantic; a local run does not.
"""
