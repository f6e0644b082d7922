"""Words of toxic and adult texts: counted, and never repeated in what is reported.

A list is a text file of one entry a line; `#` starts a comment. An entry is matched in any case: as a whole
word, or anywhere in the text if it is written in a script without spaces. `!` starts an exception: text in
which the entries within it do not count (出口交易, "exit trade", has two characters of an adult word).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luban.data.language import UNKNOWN, is_unspaced
from luban.data.quality.checks import ratio
from luban.data.quality.measure import hash_lowered_ngrams, measure
from luban.data.quality.plain import split_words
from luban.data.quality.settings import WordSettings
from luban.errors import ConfigError
from luban.records import Document, Drop

ENGLISH = """
arsehole asshole bastard bitch bitches blowjob blowjobs bullshit camgirl camgirls cocksucker creampie cumshot
cunt cunts dickhead dildo dildos fuck fucked fucker fuckers fucking gangbang handjob hardcore-porn hentai
jerkoff milf milfs motherfucker motherfuckers nudes orgy porn porno pornos pornstar sexcam sexcams shit shitty
slut sluts slutty tits titties twat upskirt wank wanker whore whores
"""
CHINESE = """
色情 黄片 成人电影 成人视频 成人网站 裸聊 约炮 援交 一夜情 口交 肛交 乱伦 做爱 淫荡 淫乱 淫秽 情色 骚货
荡妇 婊子 嫖娼 卖淫 傻逼 傻屄 煞笔 操你妈 草泥马 他妈的 你妈逼 王八蛋 狗杂种 狗娘养 贱人 贱货 去死吧 脑残
博彩 赌博网 百家乐 时时彩 黃片 成人電影 成人視頻 約炮 亂倫 做愛 淫蕩 淫亂 淫穢 騷貨 蕩婦 賣淫 操你媽 他媽的
賤人 賤貨 腦殘 百家樂 !角色情 !景色情 !特色情 !神色情 !脸色情 !臉色情 !各色情 !颜色情 !顏色情 !牛黄片
!大黄片 !姜黄片 !硫黄片 !雌黄片 !牛黃片 !大黃片 !出口交 !进口交 !進口交 !路口交 !接口交 !端口交 !窗口交
!人口交 !户口交 !戶口交 !港口交 !关口交 !關口交 !海口交 !河口交 !渡口交 !汉口交 !漢口交 !门口交 !門口交
!亲口交 !親口交 !随口交 !隨口交 !入口交 !口交流 !口交通 !口交接 !口交换 !口交換 !口交易 !口交叉 !做爱心
!做爱国 !做爱护 !做爱做 !做愛心 !做愛國 !做愛護 !做愛做 !其他妈的 !其他媽的 !红色情 !紅色情 !黑色情 !白色情
!绿色情 !綠色情 !蓝色情 !藍色情 !灰色情 !粉色情 !彩色情 !暖色情 !本色情 !古色情 !夜色情 !月色情 !春色情
!秋色情 !声色情 !聲色情
"""
"""Few and mild: a list of one's own says better what one's texts must not have."""


@dataclass(frozen=True, slots=True)
class FewListedWords:
    """Drop documents with too many listed words; the lists of a document's language decide.

    `lists` names a file for a language; Chinese and English have built-in ones. A document in another
    language, or of none, is judged by the Chinese or English list that its script calls for.
    """

    settings: WordSettings
    lists: tuple[tuple[str, str], ...] = ()
    name = "words"

    def __call__(self, document: Document) -> Document | Drop:
        """Return the document, or a Drop that says how many words, but not which."""
        s = self.settings
        language = document.language
        if language == UNKNOWN:
            language = "zh" if is_unspaced(document.text) else "en"
        word_list = read_list(language, dict(self.lists).get(language, ""))
        found = word_list.find(document.text)
        if len(found) <= s.max_count:
            return document
        share = ratio(sum(len(split_words(word)) for word in found), measure(document.text).words)
        if share <= s.max_share:
            return document
        detail = (
            f"{len(found)} listed words, {share:.4g} of the words, at most {s.max_count} or {s.max_share:.4g}"
        )
        return Drop("words: listed words", detail)


@dataclass(frozen=True, slots=True)
class WordList:
    """Words to find in texts; `find` returns them as they stand there, repeats included."""

    pattern: re.Pattern[str] | None
    starts: NDArray[np.uint32] | None
    """Hashes of the words that entries start with: most texts have none, and need no search."""

    def find(self, text: str) -> list[str]:
        """Return the listed words of a text, in order."""
        if self.pattern is None:
            return []
        if (
            self.starts is not None
            and not np.isin(hash_lowered_ngrams(text.lower(), 1, 1), self.starts).any()
        ):
            return []
        return [found[0] for found in self.pattern.finditer(text) if found.lastgroup == "word"]


def check_lists(lists: Mapping[str, str]) -> None:
    """Refuse lists that cannot be read, before any work is done."""
    for language, path in lists.items():
        read_list(language, path)


@cache
def read_list(language: str, path: str = "") -> WordList:
    """Return the list of a file, else the built-in one of the language, which may be empty."""
    if not path:
        return make_list({"en": ENGLISH, "zh": CHINESE}.get(language, "").split())
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(
            f"clean.word_lists.{language} = {path!r} cannot be read: {e}",
            fix="name a text file in UTF-8 with one word a line",
        ) from None
    return make_list(line.partition("#")[0].strip() for line in lines)


def make_list(entries: Iterable[str]) -> WordList:
    """Return the list of some entries; those that start with `!` are exceptions."""
    words = {entry for entry in entries if entry}
    exceptions = {entry[1:].strip() for entry in words if entry.startswith("!")} - {""}
    words = {entry for entry in words if not entry.startswith("!")}
    if not words:
        return WordList(None, None)
    parts = [_alternatives(exceptions)] if exceptions else []
    pattern = re.compile("|".join([*parts, f"(?P<word>{_alternatives(words)})"]), re.IGNORECASE)
    return WordList(pattern, None if any(map(is_unspaced, words)) else _starts(words))


def _alternatives(entries: set[str]) -> str:
    """Longest first, since the first that fits is taken."""
    ordered = sorted(entries, key=lambda entry: (-len(entry), entry))
    return "|".join(re.escape(e) if is_unspaced(e) else rf"(?<!\w){re.escape(e)}(?!\w)" for e in ordered)


def _starts(words: set[str]) -> NDArray[np.uint32]:
    return np.unique(np.concatenate([hash_lowered_ngrams(word.lower(), 1, 1)[:1] for word in words]))
