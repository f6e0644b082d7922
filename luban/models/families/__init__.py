"""The families: one file each, in the order in which they came."""

from __future__ import annotations

from luban.models.families import bert, gpt2, llama, original, qwen, recurrent, roberta, t5, whisper, word2vec
from luban.models.family import Family

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        word2vec.FAMILY,
        recurrent.FAMILY,
        original.FAMILY,
        bert.FAMILY,
        gpt2.FAMILY,
        roberta.FAMILY,
        t5.FAMILY,
        whisper.FAMILY,
        llama.FAMILY,
        qwen.QWEN2,
        qwen.QWEN3,
    )
}
