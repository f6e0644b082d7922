import pytest

from luban.privacy.pii import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("123456789012345678", "123456789012345678"),
        ("税号123456789012345678", "税号<COMPANY_CODE>"),
        ("91350100M000100Y43", "<COMPANY_CODE>"),
    ],
)
def test_company_codes_need_letters_or_a_word(text: str, masked: str) -> None:
    assert mask(text) == masked
