"""Text to token ids and back, over the `tokenizers` library."""

from __future__ import annotations

from luban.tokenizer.load import Tokenizer, load_tokenizer

__all__ = ["Tokenizer", "load_tokenizer"]
