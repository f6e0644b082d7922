import pytest

from luban.privacy.pii import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("身分證字號：A123456789", "身分證字號：<ID_CARD>"),
        ("台湾身份证F131104093。", "台湾身份证<ID_CARD>。"),
        ("身分證字號：A123456788", "身分證字號：A123456788"),
        ("型號 A123456789", "型號 A123456789"),
        ("香港身份證號碼：A123456(3)", "香港身份證號碼：<ID_CARD>"),
        ("HKID: A123456（3）", "HKID: <ID_CARD>"),
        ("HKID: A123456(4)", "HKID: A123456(4)"),
        ("model XA123456(3)b", "model XA123456(3)b"),
    ],
)
def test_cards_of_taiwan_and_hong_kong_are_told_by_their_check_digit(text: str, masked: str) -> None:
    assert mask(text, ["id_card"]) == masked
