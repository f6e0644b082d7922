"""Chinese mojibake: text read in another encoding than it was written in, undone where it can be.

ftfy undoes UTF-8 that was read as a Western encoding; here is what it leaves, UTF-8 read as GBK
("浣犲ソ" for "你好") and GBK read as Latin-1 ("ÄãºÃ" for "你好"). What has been lost on the way
("锟斤拷", which is two U+FFFD in UTF-8 read as GBK) becomes U+FFFD.
"""

from __future__ import annotations

import re

BROKEN = "\ufffd"
"""Stands for a character that is lost."""


def _characters(leads: range, trails: range) -> str:
    pairs = (bytes([lead, trail]) for lead in leads for trail in trails)
    return "".join(re.escape(c) for c in (p.decode("gbk", errors="ignore") for p in pairs) if len(c) == 1)


_LEADS, _TRAILS = range(0xE4, 0xEA), range(0x80, 0xC0)
SIGN_START = _characters(_LEADS, _TRAILS) + "\u9225\u951b\u9286锟"
"""The characters that mojibake of this kind begins with, ready for a class of a pattern."""
CHINESE_SIGN = (
    f"[{_characters(_LEADS, _TRAILS)}][{_characters(_TRAILS, _LEADS)}][{_characters(_TRAILS, _TRAILS)}]"
    "|[\u9225\u951b\u9286][^\\n]"
)
"""A pattern of what two Chinese characters in UTF-8 look like in GBK, or a quote, comma or full stop.

Bytes L c c L c c with a leading byte L of E4–E9 and c of 80–BF make the GBK characters (L c), (c L) and
(c c): the first is rare in real text, and three such in a row do not happen.
"""
_SIGN = re.compile(CHINESE_SIGN)
_LOST = re.compile("(?:锟斤拷|锟叫\ufffd|锟斤|\ufffd)+")
_RUN = re.compile("[^\x00-\x7f]+\\??")
_LATIN_RUN = re.compile("[\x80-\xff]{4,}")
_LOST_BYTE = b"\xff"
_MIN_COMMON = 0.7  # share of common characters in what was rightly read


def repair_chinese(text: str) -> str:
    """Return the text with Chinese mojibake undone; other text comes back as it is.

    repair_chinese("浣犲ソ锛屼笘鐣屻€") -> "你好，世界\ufffd"
    """
    if "锟斤" in text:
        text = _LOST.sub(lambda match: BROKEN * max(len(match[0]) * 2 // 3, 1), text)
    if _SIGN.search(text):
        text = "\n".join(map(_line_from_gbk, text.split("\n")))
    if _LATIN_RUN.search(text):
        text = "\n".join(map(_line_from_latin, text.split("\n")))
    return text


def _line_from_gbk(line: str) -> str:
    if not _SIGN.search(line):
        return line
    try:
        return line.encode("gb18030").decode()
    except UnicodeError:
        return _RUN.sub(lambda match: _from_gbk(match[0]), line)


def _from_gbk(run: str) -> str:
    """Read a run again as UTF-8; bytes that GBK could not show were lost, and are U+FFFD or a last "?"."""
    if not _SIGN.search(run):
        return run
    pieces = (piece.encode("gb18030") for piece in run.removesuffix("?").split(BROKEN))
    read = _LOST.sub(BROKEN, _LOST_BYTE.join(pieces).decode(errors="replace"))
    chinese = sum("\u3000" <= c <= "\u9fff" or "\uff00" <= c <= "\uffef" for c in read)
    lost = read.count(BROKEN)
    if 2 * lost > chinese + 1 or not chinese and lost:
        return run
    return read + "?" if run.endswith("?") and not read.endswith(BROKEN) else read


def _line_from_latin(line: str) -> str:
    if not _LATIN_RUN.search(line):
        return line
    whole = _from_latin(line)
    return whole if whole is not line else _LATIN_RUN.sub(lambda match: _from_latin(match[0]), line)


def _from_latin(text: str) -> str:
    try:
        read = text.encode("latin-1").decode("gb18030")
    except UnicodeError:
        return text
    letters, marks = re.findall("[\xc0-\xff]", text), re.findall("[\xa1-\xbf]", text)
    if 2 * len(letters) < len(marks) or 8 * len(marks) < len(letters) or len(set(letters)) < 2:
        return text  # a row of dots, or an alphabet: bytes of Chinese are both
    foreign = [c for c in read if not c.isascii()]
    return read if sum(map(_is_common, foreign)) >= _MIN_COMMON * len(foreign) else text


def _is_common(character: str) -> bool:
    """Whether it is one of GB 2312's 3,755 characters of the first level, or Chinese punctuation."""
    lead = character.encode("gb2312", errors="replace")[0]
    return 0xB0 <= lead <= 0xD7 or character in "，。、；：？！“”（）《》·—…"
