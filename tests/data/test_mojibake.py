import pytest

from luban.data.mojibake import BROKEN, repair_chinese

CHINESE = "灯塔看守人每天晚上都把天气记在本子上，字写得又小又工整，几十年来从没有间断过一天。"
MIXED = "他用 Python 3.12 写了“爬虫”——一共 200 行。"


@pytest.mark.parametrize("text", [CHINESE, MIXED, "你好", "今天的天气\nEnglish café\n再来一行中文"])
def test_gbk_read_as_latin_1_is_undone(text: str) -> None:
    latin = "\n".join(
        line.encode("gb18030").decode("latin-1") if "é" not in line else line for line in text.split("\n")
    )
    assert repair_chinese(latin) == text


def test_utf_8_read_as_gbk_is_undone_where_no_byte_was_lost() -> None:
    for text in ("你好世界", "“Hello” and “world”", "今天天气好"):
        damaged = text.encode().decode("gb18030", errors="replace")
        assert damaged != text
        repaired = repair_chinese(damaged)
        if BROKEN in damaged:
            assert BROKEN in repaired
        else:
            assert repaired == text


def test_characters_whose_bytes_were_lost_become_one_replacement_each() -> None:
    damaged = CHINESE.encode().decode("gbk", errors="replace")
    repaired = repair_chinese(damaged)
    assert len(repaired) == pytest.approx(len(CHINESE), abs=3)
    right = sum(character in repaired for character in set(CHINESE))
    assert right > 0.7 * len(set(CHINESE))
    assert repair_chinese("锟斤拷锟斤拷 ok") == BROKEN * 4 + " ok"


@pytest.mark.parametrize(
    "text",
    [CHINESE, MIXED, "À côté, l’été; ÉÈÊË naïveté", "£100 ± 5 ×÷", "目录····· 3 »»»» ····", "浣熊涓涓细流",
     "Größe ÄÖÜß", "привет мир", "", "ÀÁÂÃÄÅ alphabet"],
)  # fmt: skip
def test_text_that_is_right_stays_as_it_is(text: str) -> None:
    assert repair_chinese(text) == text
