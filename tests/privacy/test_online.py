import pytest

from luban.privacy.pii import mask


@pytest.mark.parametrize(
    "value",
    [
        *("jörg.müller@site.de", "zażółć@poczta.pl", "josé.garcia@correo.es", "почта@пример.рф"),
        *("wang小明@163.com", "王小明@公司.中国", "用户@例子.广告", "foo@bar@baz.com", '"john doe"@site.org'),
    ],
)
def test_addresses_with_letters_of_any_script_are_taken_whole(value: str) -> None:
    assert mask(f"Mail: {value}, ok", ["email"]) == "Mail: <EMAIL>, ok"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("邮箱是zhang@163.com。", "邮箱是<EMAIL>。"),
        ("請發送郵件至zhang@163.com，謝謝", "請發送郵件至<EMAIL>，謝謝"),
        ("谢谢：请发送邮件至zhang@163.com", "谢谢：请发送邮件至<EMAIL>"),
        ("请发到王小明@公司.中国谢谢", "请发到<EMAIL>谢谢"),
        ("邮箱：小明wang@163.com", "邮箱：<EMAIL>"),
        ("see @user@social.site.org", "see @<EMAIL>"),
        ("关注@王小明，谢谢", "关注@王小明，谢谢"),
    ],
)
def test_chinese_that_runs_into_an_address_stays(text: str, masked: str) -> None:
    assert mask(text, ["email"]) == masked
