"""Tiny models of every family, as the tests of models have them."""

from collections.abc import Iterable
from typing import Any

import pytest

from tests.models.conftest import tiny, tokens

__all__ = ["few", "tiny", "tokens"]


def few(cases: Iterable[str], *kept: str) -> list[Any]:
    """Leave most cases to the slow suite."""
    return [case if case in kept else pytest.param(case, marks=pytest.mark.slow) for case in cases]
