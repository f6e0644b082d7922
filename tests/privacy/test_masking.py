import re
import subprocess
import sys

import pytest

from luban.errors import ConfigError
from luban.privacy.checks import is_iban, is_id_card, passes_luhn
from luban.privacy.pii import find_personal_data, mask
from luban.privacy.pseudonyms import pseudonym

KEY = b"a key of the tests"
TEXT = "mail ann@site.org, call +44 20 7946 0958"
VALUES = {
    "email": "ann@site.org",
    "phone": "138-1234-5678",
    "id_card": "11010519491231002X",
    "bank_card": "4111 1111 1111 1111",
    "iban": "DE89370400440532013000",
    "ssn": "123-45-6789",
    "ip": "81.2.69.142",
    "mac": "00:1B:44:11:3A:B7",
    "person": "王小明",
    "address": "北京市朝阳区建国路88号",
    "birth_date": "1990-05-04",
    "licence_plate": "京A12345",
    "company_code": "91350100M000100Y43",
    "passport": "E12345678",
    "secret": "hunter2!x",
    "wallet": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
}


def test_placeholders_name_the_type_in_either_language() -> None:
    assert mask(TEXT) == "mail <EMAIL>, call <PHONE>"
    assert mask(TEXT, language="zh") == "mail [电子邮件], call [电话]"


def test_removal_leaves_nothing_and_keep_leaves_all() -> None:
    assert mask(TEXT, mode="remove") == "mail , call "
    assert mask(TEXT, mode="keep") == TEXT


def test_a_type_may_have_a_mode_of_its_own() -> None:
    masked = mask(TEXT, modes={"email": "pseudonym"}, key=KEY)
    assert re.fullmatch(r"mail \S+@example\.com, call <PHONE>", masked)


def test_masked_text_holds_nothing_that_was_masked() -> None:
    once = mask(TEXT)
    assert find_personal_data(once) == []
    assert mask(once) == once


@pytest.mark.parametrize(("kind", "value"), VALUES.items())
def test_pseudonyms_hide_the_value_and_depend_on_the_key(kind: str, value: str) -> None:
    fake = pseudonym(kind, value, KEY)
    assert fake != value
    assert fake == pseudonym(kind, value, KEY)
    many = {pseudonym(kind, value, bytes([i])) for i in range(20)}
    assert len(many) > 5


def test_pseudonyms_keep_the_form_and_belong_to_nobody() -> None:
    fakes = {kind: pseudonym(kind, value, KEY) for kind, value in VALUES.items()}
    assert re.fullmatch(r"12\d-\d{4}-\d{4}", fakes["phone"])
    assert re.fullmatch(r"\d{17}\d", fakes["id_card"])
    assert not is_id_card(fakes["id_card"])
    assert re.fullmatch(r"4\d{3} \d{4} \d{4} \d{4}", fakes["bank_card"])
    assert not passes_luhn(fakes["bank_card"].replace(" ", ""))
    assert len(fakes["iban"]) == 22
    assert not is_iban(fakes["iban"])
    assert fakes["ssn"].startswith("000-")
    assert fakes["ip"].rpartition(".")[0] in ("192.0.2", "198.51.100", "203.0.113")
    assert fakes["mac"].lower().startswith("00:00:5e:00:53:")
    assert re.fullmatch(r"199\d-(0[1-9]|1[0-2])-(0[1-9]|1[0-2])", fakes["birth_date"])
    assert (
        pseudonym("phone", "(415) 555-2671", KEY)[5:14]
        == " 555-01" + pseudonym("phone", "(415) 555-2671", KEY)[12:14]
    )


def test_another_way_to_write_a_number_is_the_same_number() -> None:
    assert pseudonym("phone", "13812345678", KEY) == pseudonym("phone", "138 1234 5678", KEY).replace(" ", "")


def test_another_process_makes_the_same_pseudonym() -> None:
    code = (
        f"from luban.privacy.pseudonyms import pseudonym; print(pseudonym('email', 'ann@site.org', {KEY!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == pseudonym("email", "ann@site.org", KEY)


def test_pseudonyms_need_a_key_and_modes_must_exist() -> None:
    with pytest.raises(ConfigError, match="secret key"):
        mask(TEXT, mode="pseudonym")
    with pytest.raises(ConfigError, match="hash"):
        mask(TEXT, mode="hash")
    with pytest.raises(ConfigError, match="mails"):
        mask(TEXT, modes={"mails": "remove"})
