"""Traditional and simplified characters, one turned into the other."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from luban.data.extras import load_extra
from luban.records import Document, Drop

Script = Literal["simplified", "traditional"]
MAX_FOREIGN = 0.02
"""With more kana or hangul among its characters a text is Japanese or Korean, and is left alone."""

_CONVERSIONS = {"simplified": "t2s", "traditional": "s2tw"}
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_FOREIGN = re.compile(
    "[\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f\u1100-\u11ff\uac00-\ud7af]"
)
_NOT_CHINESE = frozenset({"ja", "ko"})


@dataclass(frozen=True, slots=True)
class ConvertChinese:
    """Write Chinese in one script: simplified, or traditional as in Taiwan; other languages pass.

    Words are converted, not characters alone: 头发 → 頭髮, but 发现 → 發現 (OpenCC's dictionaries).
    """

    script: Script = "simplified"

    name = "chinese script"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document in the script."""
        if document.language in _NOT_CHINESE:
            return document
        text = convert_chinese(document.text, self.script)
        return document if text == document.text else replace(document, text=text)


def convert_chinese(text: str, script: Script) -> str:
    """Return a Chinese text in the script, and any other text as it is.

    convert_chinese("頭髮", "simplified") -> "头发"
    """
    if text.isascii() or not _HAN.search(text):
        return text
    foreign = len(_FOREIGN.findall(text))
    if foreign and foreign > MAX_FOREIGN * (foreign + len(_HAN.findall(text))):
        return text
    return str(_converter(script).convert(text))


@cache
def _converter(script: Script) -> Any:
    return load_extra("opencc", "chinese").OpenCC(_CONVERSIONS[script])
