"""Luban: one toolkit for the whole craft of language models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luban.models.load import load_model

__version__ = "0.1.0"
