"""The files that local mode runs, read as kubectl reads them and checked as the API server checks them. Pure but for
the file that is read."""

from workflow_operator.cli.manifest.documents import json_value, read
from workflow_operator.cli.manifest.load import Loaded, load

__all__ = ["Loaded", "json_value", "load", "read"]
