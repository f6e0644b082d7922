"""The wiki text of MediaWiki pages as plain text: templates, tables, references and files go."""

from __future__ import annotations

import re

_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_TABLE = re.compile(r"\{\|(?:(?!\{\|).)*?\|\}", re.S)
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_REFERENCE = re.compile(
    r"<(ref|gallery|math|timeline|syntaxhighlight)\b(?:[^<>]*/>|[^<>]*>.*?</\1>)", re.S | re.I
)
_FILE = re.compile(
    r"\[\[(?:File|Image|Category|文件|檔案|档案|圖像|图像|分类|分類|Datei|Kategorie|Fichier|Catégorie):"
    r"(?:[^\[\]]|\[\[[^\[\]]*\]\])*\]\]",
    re.I,
)
_LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
_OUTSIDE = re.compile(r"\[(?:https?:)?//[^\s\]]+ ?([^\]]*)\]")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_QUOTES = re.compile(r"'{2,5}")
_HEADING = re.compile(r"^(=+) *(.+?) *\1\s*$", re.M)
_LEAD = re.compile(r"^[*#:;]+ *", re.M)
_BLANK = re.compile(r"\n{3,}")
_DEPTH = 20  # templates inside each other


def plain_wikitext(text: str) -> str:
    """Return a page's text without its markup.

    plain_wikitext("'''Tea''' is a [[drink|hot drink]].{{cn}}") -> "Tea is a hot drink."
    """
    text = _REFERENCE.sub("", _COMMENT.sub("", text))
    for pattern in (_TEMPLATE, _TABLE):
        for _ in range(_DEPTH):
            text, n = pattern.subn("", text)
            if not n:
                break
    text = _LINK.sub(r"\1", _FILE.sub("", text))
    text = _QUOTES.sub("", _TAG.sub("", _OUTSIDE.sub(r"\1", text)))
    text = _LEAD.sub("", _HEADING.sub(r"\n\2\n", text))
    return _BLANK.sub("\n\n", text).strip()
