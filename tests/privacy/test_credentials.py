import pytest

from luban.privacy.pii import mask

LETTERS = "QmZwRtYpLkVhNcXsJdGfBaUeTiOrQwMnBv"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("hf" + "_" + LETTERS, "<SECRET>"),
        ("token: hf" + "_" + LETTERS, "token: <SECRET>"),
        ("call hf_transformersmodelloadingutilities()", "call hf_transformersmodelloadingutilities()"),
        ('password: "Pa\'ss1234"', 'password: "<SECRET>"'),
        ("password='p\"a1ss#word'", "password='<SECRET>'"),
        ('password: "it\'s needed"', 'password: "it\'s needed"'),
        ("口令: qwer1234!", "口令: <SECRET>"),
        ("my password is hunter22!", "my password is <SECRET>!"),
        ("密碼：Qw3rty#99，", "密碼：<SECRET>，"),
        ("密碼很重要，請保管好。", "密碼很重要，請保管好。"),
    ],
)
def test_secrets_are_masked_to_their_last_character(text: str, masked: str) -> None:
    assert mask(text) == masked
