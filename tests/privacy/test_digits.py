import pytest

from luban.privacy.pii import mask


@pytest.mark.parametrize(
    "number",
    [
        *("+1 212 555 0187x45", "+1 212 555 0187 x45", "+1 415 555 2671ext5", "+44 20 7946 0958#12"),
        *("020 7946 0958 ext 3", "(415) 555-2671, ext. 45", "010-62345678转801", "010-62345678 轉 801"),
        *("（0755）83214567", "（0755）8321 4567", "138.1234.5678", "1381234 5678", "0912-345-678"),
    ],
)
def test_telephones_are_taken_whole(number: str) -> None:
    assert mask(f"a {number} b") == "a <PHONE> b"


@pytest.mark.parametrize(
    "text",
    [
        *("总计13800000000元", "共计 15000000000 人次", "第13812345678页", "總計13800000000元"),
        *("It is -13812345678", "13812345678 bytes", "138.1234.5678.9", "4 x 45 and 12 x45"),
    ],
)
def test_amounts_counts_pages_and_negatives_are_no_telephones(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("13812345678人事部", "<PHONE>人事部"),
        ("电话-13812345678", "电话-<PHONE>"),
        ("手機：0912-345-678", "手機：<PHONE>"),
        ("+1 212 555 0187 xylophone 45", "<PHONE> xylophone 45"),
        ("卡号６２２８４８０３９８８８７１２３４５１", "卡号<BANK_CARD>"),
        ("卡号６２２８４８０３９８８８７１２３４５２", "卡号６２２８４８０３９８８８７１２３４５２"),
        ("110101900307123 身份证", "<ID_CARD> 身份证"),
        ("110101900307123 个", "110101900307123 个"),
    ],
)
def test_words_on_either_side_decide_what_a_number_is(text: str, masked: str) -> None:
    assert mask(text) == masked
