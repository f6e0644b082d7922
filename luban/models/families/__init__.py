"""The families: one file each, in the order in which they came."""

from __future__ import annotations

from luban.models.families import bert, gpt2, llama, lstm
from luban.models.family import Family

FAMILIES: dict[str, Family] = {
    "lstm": lstm.FAMILY,
    "bert": bert.FAMILY,
    "gpt2": gpt2.FAMILY,
    "llama": llama.FAMILY,
}
