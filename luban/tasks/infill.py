"""The marks of infilling: which tokens they are, and where a text is cut.

A cut falls between two characters, not two tokens, for a person stops typing anywhere: `prin|t`. The parts
are then encoded each by itself, as they are when a model is asked (arXiv:2207.14255 section 3.2).
"""

from __future__ import annotations

from luban.errors import CheckpointError
from luban.objectives.fill_in_the_middle import Divide, Infill, Parts, at_tokens
from luban.tokenizer import Tokenizer

MARKS = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>")
"""What a tokenizer without marks is given, in Qwen's spelling and order."""
SPELLINGS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),
)
"""How tokenizers spell prefix, suffix and middle: Qwen, StarCoder, SantaCoder, Code Llama."""


def find_marks(tokenizer: Tokenizer) -> tuple[int, int, int] | None:
    """Return the ids of prefix, suffix and middle; None for a tokenizer that has no such marks."""
    for names in SPELLINGS:
        prefix, suffix, middle = (tokenizer.token_id(name) for name in names)
        if prefix is not None and suffix is not None and middle is not None:
            return prefix, suffix, middle
    return None


def with_marks(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer with marks behind its vocabulary, or as it is where it has some."""
    return tokenizer if find_marks(tokenizer) else tokenizer.with_special(MARKS)


def infill_of(
    tokenizer: Tokenizer, end_id: int, *, share: float = 0.5, spm_share: float = 0.5, line_share: float = 0.0
) -> Infill:
    """Return how texts of this tokenizer are rearranged; `end_id` closes a middle."""
    found = find_marks(tokenizer)
    if found is None:
        raise CheckpointError(
            "the tokenizer has no marks for infilling",
            fix="train with objective: fill_in_the_middle, which adds them, or use a model that has them",
        )
    return Infill(
        prefix_id=found[0],
        suffix_id=found[1],
        middle_id=found[2],
        end_id=end_id,
        pad_id=tokenizer.pad_id or 0,
        share=share,
        spm_share=spm_share,
        divide=at_characters(tokenizer, line_share),
    )


def at_characters(tokenizer: Tokenizer, line_share: float = 0.0) -> Divide:
    """Return what cuts a text between characters and encodes its three parts.

    In `line_share` of the texts the middle is the rest of a line, as an editor asks for it. Where a window
    begins or ends within a character, or the tokenizer does not know bytes, the cuts fall between tokens.
    """

    def divide(ids: list[int], first: float, second: float, kind: float) -> Parts:
        text = tokenizer.decode(ids) if tokenizer.is_byte_level else "\ufffd"
        if "\ufffd" in text:
            return at_tokens(ids, first, second, kind)
        begin, end = sorted(int(c * (len(text) + 1)) for c in (first, second))
        if kind < line_share:
            begin = int(first * (len(text) + 1))
            end = text.find("\n", begin)
            end = len(text) if end < 0 else end
        parts = (text[:begin], text[begin:end], text[end:])
        prefix, middle, suffix = (tokenizer.encode(part) for part in parts)
        return prefix, middle, suffix

    return divide
