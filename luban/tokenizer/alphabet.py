"""The characters by which byte-level tokenizers spell bytes (GPT-2's table)."""

from __future__ import annotations


def _byte_alphabet() -> dict[str, int]:
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return {**{chr(b): b for b in plain}, **{chr(256 + i): b for i, b in enumerate(others)}}


BYTES = _byte_alphabet()
"""Character → byte."""
