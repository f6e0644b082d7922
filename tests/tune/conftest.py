"""Tiny models of every family, as the tests of models have them."""

from tests.models.conftest import tiny, tokens

__all__ = ["tiny", "tokens"]
