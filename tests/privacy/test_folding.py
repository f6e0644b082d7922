import pytest

from luban.privacy.folding import fold
from luban.privacy.pii import find_personal_data


def test_folding_keeps_places_and_leaves_other_characters() -> None:
    text = "😀\ud800 電話：０９１２ Ａ＠ 龘"
    assert fold(text) == "😀\ud800 电话：0912 A@ 龘"
    assert fold("plain 电话") == "plain 电话"


@pytest.mark.parametrize(
    ("simplified", "traditional"),
    [
        ("手机：0912345678", "手機：0912345678"),
        ("密码：Qw3rty#99", "密碼：Qw3rty#99"),
        ("姓名：陈大文", "姓名：陳大文"),
        ("护照号码：E12345678", "護照號碼：E12345678"),
        ("住址：台北市大安区忠孝东路216号", "住址：臺北市大安區忠孝東路216號"),
        ("联系张大文先生", "聯繫張大文先生"),
        ("邮编：100084", "郵編：100084"),
    ],
)
def test_both_scripts_give_the_same_finds(simplified: str, traditional: str) -> None:
    found = find_personal_data(simplified)
    assert found
    assert find_personal_data(traditional) == found
