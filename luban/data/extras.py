"""Import an optional package, or say how to install it."""

from __future__ import annotations

import importlib
from typing import Any

from luban.errors import MissingExtra


def load_extra(module: str, extra: str = "data") -> Any:
    """Return the module, or raise MissingExtra with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as e:
        if e.name != module.partition(".")[0]:
            raise
        raise MissingExtra(e.name, extra) from None
