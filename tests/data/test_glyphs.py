import pytest

from luban.data.glyphs import LEGACY, is_familiar, likelihood

TEXTS = {
    "gb18030": "天气好的时候，我们去公园散步。",
    "big5hkscs": "天氣好的時候，我們去公園散步。",
    "cp932": "天気のいい日には、公園を散歩します。",
    "euc_jp": "天気のいい日には、公園を散歩します。",
    "cp949": "날씨가 좋은 날에는 공원에서 산책합니다.",
    "cp1252": "Wenn das Wetter schön ist, gehen wir über die Brücke.",
}


@pytest.mark.parametrize("name", LEGACY)
def test_a_text_is_likeliest_in_its_own_encoding(name: str) -> None:
    data = TEXTS[name].encode(name)
    scores = {other: likelihood(data, other) for other in (*LEGACY, "utf-8")}
    assert max(scores, key=lambda other: scores[other]) == name


@pytest.mark.parametrize("name", LEGACY)
def test_text_is_familiar_and_another_encodings_reading_of_it_is_not(name: str) -> None:
    assert is_familiar(TEXTS[name], name)
    for other in ("gb18030", "cp932"):
        misread = TEXTS["big5hkscs"].encode("big5hkscs").decode(other, "replace")
        assert not is_familiar(misread, other)
