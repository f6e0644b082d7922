"""Settings of tokenizer training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerSettings:
    """Byte-level BPE from the training split of a documents folder."""

    vocab_size: Annotated[int, Field(ge=261, le=1_000_000)] = 4096
    """Tokens in all: 5 special ones, 256 bytes, and what merging adds."""
    min_frequency: Count = 2
    """Merge only pairs seen at least so often."""
    balance_languages: bool = True
    """Take about the same bytes from each language that has 5 % of the text or more, so that a large
    one does not crowd out the others' tokens."""
    max_bytes: Count = 10_000_000
    """Learn from about so many bytes of a language at most; more changes little and takes longer."""
    template: bool = False
    """Put <|cls|> before and <|sep|> after a text that a classifier reads, as encoders expect."""
