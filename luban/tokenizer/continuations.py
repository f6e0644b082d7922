"""Which tokens go on with the word before them."""

from __future__ import annotations

import unicodedata

from luban.tokenizer.load import Tokenizer

SPACE = "\u2581"
"""How SentencePiece writes a space."""
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts without spaces between words, as Unicode names their characters: every token is a word."""


def continues_word(tokenizer: Tokenizer) -> list[bool]:
    """Return of each token whether it goes on with the word before it: "##ing", or "ing" without a space.

    Signs begin a word of their own; in scripts without spaces every token does, but for one that
    begins inside a character.
    """
    ids = range(tokenizer.vocab_size)
    if tokenizer.is_byte_level:
        return [_goes_on(tokenizer.token_bytes(i) or b"") for i in ids]
    tokens = [tokenizer.token(i) for i in ids]
    if any(token.startswith("##") for token in tokens):
        return [token.startswith("##") and len(token) > 2 for token in tokens]
    texts = ["" if i in tokenizer.special_ids else t.replace(SPACE, " ") for i, t in enumerate(tokens)]
    return [_goes_on(text.encode()) for text in texts]


def _goes_on(data: bytes) -> bool:
    if data and 0x80 <= data[0] < 0xC0:  # UTF-8's mark of a byte inside a character
        return True
    first = data.decode("utf-8", "ignore")[:1]
    return first.isalnum() and not unicodedata.name(first, "").startswith(UNSPACED)
