"""Puts off what a library loads and a process of ours hardly ever needs."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def put_off(name: str) -> None:
    """Have ``import name`` load nothing until something of the module is used. Nothing, where it is loaded already.

    (The standard library's LazyLoader loads at the second ``import`` of a module, used or not.)
    """
    if name in sys.modules:
        return
    stand_in = ModuleType(name)

    def load(attribute: str) -> Any:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    stand_in.__dict__["__getattr__"] = load
    sys.modules[name] = stand_in
