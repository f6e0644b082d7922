"""The same text as careless people, other keyboards and other regions write it: what a model should bear.

Each change depends on the text and the seed alone. What a kind cannot change comes back as it was:
no case in Chinese, no script in English.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from luban.data.chinese_script import convert_chinese
from luban.data.language import HAN, UNSPACED

_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_WORD = re.compile(r"[A-Za-z]{4,}")
_HANZI = re.compile(f"[{HAN}]")
_SLIPPERY = re.compile(f"(?![不没無无未非别別莫])[{HAN}]")
"""Characters that may slip: to lose a negation would turn the meaning, and with it the label."""
_CONFUSED = (
    "的地得 在再 做作坐座 他她它 那哪 象像相向 以已 有又友 己已巳 未末 天夫 人入 大太犬 日目曰 土士 "
    "千干于 买卖 带代戴 进近 心新 名明 其期齐 需须 气汽 即既 决绝 历厉 建健 到道 清请情晴 话活 今令 "
    "没设 自白 风凤 历力立利 事是式市 只之知 很狠 意义议 受爱 快块 常长 店点 号好 服复 真针 本木 "
    "元园圆 应因 体休 要耍 贷货 拔拨"
).split()
"""Characters that are typed for each other, by sound or by shape; ours, not from a dictionary."""
_SAID_OTHERWISE = [
    tuple(pair.split("="))
    for pair in (
        "do not=don't, does not=doesn't, did not=didn't, is not=isn't, are not=aren't, "
        "was not=wasn't, cannot=can't, will not=won't, it is=it's, that is=that's, i am=i'm, "
        "you are=you're, they are=they're, we are=we're, very=really, film=movie, big=large, "
        "small=little, begin=start, buy=purchase, help=assist, but=yet, also=too, maybe=perhaps, "
        "quick=fast, happy=glad, often=frequently, because=since, almost=nearly, enough=sufficient, "
        "show=display, need=require, whole=entire, answer=reply, difficult=hard, simple=easy, "
        "about=around, 非常=十分, 但是=可是, 因为=由于, 所以=因此, 觉得=认为, 如果=要是, 喜欢=喜爱, "
        "没有=没, 知道=晓得, 东西=物品, 马上=立刻, 现在=如今, 一定=必定, 已经=早已, 还是=仍是, "
        "比较=较为, 特别=尤其, 希望=盼望, 容易=轻易, 漂亮=好看, 大概=大约, 需要=须要, 可能=也许, "
        "全部=所有, 不错=挺好, 怎么=如何"
    ).split(", ")
]
_WIDE = str.maketrans(",.!?:;()", "，。！？：；（）")
_NARROW = str.maketrans("，。！？：；（）", ",.!?:;()")


@dataclass(frozen=True, slots=True)
class Perturb:
    """How much is changed, by which draw, and paraphrases that are known: text -> others."""

    share: float = 0.1
    seed: int = 1
    paraphrases: Mapping[str, Sequence[str]] = field(default_factory=dict)


def perturb(text: str, kind: str, how: Perturb) -> str:
    """Return a text perturbed in one way: typos, case, width, script or paraphrase.

    perturb("头发", "script", Perturb()) -> "頭髮"
    """
    draw = random.Random(f"{how.seed} {kind} {text}")
    return KINDS[kind](text, how, draw)


def _typos(text: str, how: Perturb, draw: random.Random) -> str:
    slipped = _WORD.sub(lambda m: _slip(m[0], draw) if draw.random() < how.share else m[0], text)
    return _SLIPPERY.sub(lambda m: _slip_hanzi(m[0], draw) if draw.random() < how.share else m[0], slipped)


def _slip(word: str, draw: random.Random) -> str:
    """Swap, drop, double or miss a letter, the first one apart."""
    i = draw.randrange(1, len(word) - 1)
    how = draw.choice(("swap", "drop", "double", "miss"))
    if how == "swap":
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if how == "miss":
        return word[:i] + _neighbour(word[i], draw) + word[i + 1 :]
    return word[:i] + word[i] * (2 * (how == "double")) + word[i + 1 :]


def _neighbour(letter: str, draw: random.Random) -> str:
    row = next(r for r in _KEYBOARD if letter.lower() in r)
    i = row.index(letter.lower())
    found = draw.choice([row[k] for k in (i - 1, i + 1) if 0 <= k < len(row)])
    return found.upper() if letter.isupper() else found


def _slip_hanzi(character: str, draw: random.Random) -> str:
    """Write another character that sounds or looks alike, where one is known; else lose or double it."""
    alike = [c for group in _CONFUSED if character in group for c in group if c != character]
    return draw.choice(alike) if alike else draw.choice(("", character * 2))


def _case(text: str, how: Perturb, draw: random.Random) -> str:
    forms = [form for form in (text.upper(), text.lower()) if form != text]
    return draw.choice(forms) if forms else text


def _width(text: str, how: Perturb, draw: random.Random) -> str:
    """Give punctuation the other width in text without spaces, and double spaces in any other."""
    if len(re.findall(f"[{UNSPACED}]", text)) * 2 > len(text.replace(" ", "")):
        narrow = text.translate(_NARROW)
        return narrow if narrow != text else text.translate(_WIDE)
    wide = re.sub(r" ", lambda m: "  " if draw.random() < 0.3 else " ", text)
    return re.sub(r"([,;]) +", r"\1", wide) if draw.random() < 0.5 else f" {wide} "


def _script(text: str, how: Perturb, draw: random.Random) -> str:
    other = convert_chinese(text, "traditional")
    return other if other != text else convert_chinese(text, "simplified")


def _paraphrase(text: str, how: Perturb, draw: random.Random) -> str:
    known = [other for other in how.paraphrases.get(text, ()) if other.strip() and other != text]
    if known:
        return draw.choice(known)
    changed = text
    for one, other in _SAID_OTHERWISE:
        before, after = (one, other) if draw.random() < 0.5 else (other, one)
        pattern = re.escape(before) if _HANZI.search(before) else rf"\b{re.escape(before)}\b"
        changed = re.sub(pattern, partial(_as_found, after), changed, flags=re.IGNORECASE)
    return changed


def _as_found(written: str, found: re.Match[str]) -> str:
    return written[0].upper() + written[1:] if found[0][0].isupper() else written


KINDS: dict[str, Callable[[str, Perturb, random.Random], str]] = {
    "typos": _typos,
    "case": _case,
    "width": _width,
    "script": _script,
    "paraphrase": _paraphrase,
}
