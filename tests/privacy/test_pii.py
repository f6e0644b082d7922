import random
import time
from collections import Counter

import pytest

from luban.errors import ConfigError
from luban.privacy.pii import MORE_TYPES, TYPES, find_personal_data, mask
from luban.privacy.spans import Span, without_overlaps
from tests.privacy.chinese import REPORTING, TUNING, sentences

BASE58 = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
RIGHT = {
    "email": ["write to ann.lee+news@site.org now", "邮箱是zhang_wei@163.com。", "joe [at] site [dot] org"],
    "phone": [
        "call (415) 555-2671 today", "reach us at +44 20 7946 0958", "01 44 55 66 77 à Paris", "Tel.: 030/2312 5000",
        "手机１３８１２３４５６７８", "电话：(010)62345678", "打 +86 138-1234-5678 找我", "Phone:\n467 3395",
    ],
    "id_card": ["身份证 11010519491231002X", "号码 110105 19491231 002x。", "身份证：110105491231002"],
    "passport": ["护照号E12345678", "his passport number is 912803456"],
    "driving_licence": ["My driver's license is D6940579"],
    "licence_plate": ["车牌京A12345", "沪AD12345停在门口", "粤B·8F3K2"],
    "company_code": ["代码91350100M000100Y43。"],
    "ssn": ["SSN 123-45-6789", "social security number 123456789"],
    "iban": ["to DE89 3704 0044 0532 0130 00 PLEASE", "IBAN GB82WEST12345698765432"],
    "bank_card": ["card 4111 1111 1111 1111", "卡号 6228480000000000000", "paid with 378282246310005"],
    "ip": ["from 81.2.69.142 twice", "host 2a00:1450:4001:82b::200e up", "服务器192.168.1.20宕机"],
    "mac": ["link 00:1B:44:11:3A:B7 up"],
    "url_secret": ["postgres://bob:hunter2@db.site.org/x", "https://site.org/?access_token=abc123def456"],
    "birth_date": ["DOB: 12/03/1984", "出生日期：1990年5月4日", "She was born on 2/8/1935."],
    "address": ["lives at 12 Baker Street, Apt 4B", "住在北京市朝阳区建国路88号3单元501室", "PO Box 1234"],
    "postcode": ["zip code 94110", "Dallas, TX 75201", "邮编：100084", "London SW1A 1AA"],
    "person": ["My name is Ada Byron.", "Dear Mr. Tom Hale,", "姓名：王小明", "我叫欧阳静，", "联系李建国先生"],
    "secret": [
        "AK" + "IAIOSFODNN7EXAMPLE", "gh" + "p_" + "a1B2" * 9, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkw.abcdefghij",
        'password = "hunter2!x"', "密码：Zhang1985@xy", "-----BEGIN RSA PRIVATE" + " KEY-----\n" + "MIIEpAIBAAKCAQEA\n" * 4,
        "Authorization: Bearer a1b2c3d4e5f6g7h8i9j0k1l2m3",
    ],
    "wallet": [f"pay {BASE58}", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "0x52908400098527886E0F7030069857D2E4169EE7"],
}  # fmt: skip
WRONG = [
    "ISBN 978-7-111-12345-6", "order 20240518123456789", "pi is 3.14159265358979", "in 1998-2004 and 2019-01-02",
    "version 10.2.3.4", "section 8.9.2.2 of it", "std::vector<int> a::b", "@decorator.name def f", "logo@2x.png",
    "密码很重要，请保管好。", "身份证号110105194912310021无效", "卡号6228480000000000001", "订单号13812345678901", "人口12,345,678人",
    f"pay {BASE58[:-1]}b", "IBAN GB82WEST12345698765431", "password = get_password(user)", "token = tokens[0]",
    "ssn 000-12-3456", "127.0.0.1 localhost", "commit 3f786850e387550fdab836ed7e6dc881de23001b", "sha 2fd4e1c67a2d28fc",
    "王先生来了", "the name is given below", "代码91350100M000100Y44", "mask 255.255.255.0",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(k, t) for k, texts in RIGHT.items() for t in texts])
def test_each_form_of_personal_data_is_found(kind: str, text: str) -> None:
    assert kind in [span.type for span in find_personal_data(text)], text


@pytest.mark.parametrize("text", WRONG)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert find_personal_data(text) == []


def test_every_type_has_an_example() -> None:
    assert set(RIGHT) == set(TYPES)


@pytest.mark.parametrize("templates", [TUNING, REPORTING], ids=["tuning", "reporting"])
def test_chinese_sentences_give_up_what_they_hold_at_exact_places(templates: list[str]) -> None:
    missed, wrong, n = Counter[str](), Counter[str](), 0
    for text, gold in sentences(5, templates, rounds=4):
        found = {(s.start, s.end, s.type) for s in find_personal_data(text)}
        missed.update(kind for *_, kind in set(gold) - found)
        wrong.update(kind for *_, kind in found - set(gold))
        n += len(gold)
    assert sum(missed.values()) <= 0.02 * n, missed
    assert sum(wrong.values()) <= 0.02 * n, wrong


def test_places_hold_beside_emoji_surrogates_and_wide_digits() -> None:
    text = "😀\ud800 mail a@b.org，手机１３８１２３４５６７８ 😀"
    values = [text[s.start : s.end] for s in find_personal_data(text)]
    assert values == ["a@b.org", "１３８１２３４５６７８"]


def test_finds_never_overlap_and_are_in_order() -> None:
    pieces = [text for texts in RIGHT.values() for text in texts]
    r = random.Random(3)
    for _ in range(60):
        text = r.choice(["", " ", "，"]).join(r.sample(pieces, 6))
        spans = find_personal_data(text, types=[*TYPES, *MORE_TYPES], min_confidence=0)
        assert all(a.end <= b.start for a, b in zip(spans, spans[1:], strict=False))
        assert all(0 <= s.start < s.end <= len(text) for s in spans)


def test_of_overlapping_finds_the_surest_stays_then_the_longest() -> None:
    sure, long, short = Span(4, 8, "a", "", 0.9), Span(0, 6, "b", "", 0.5), Span(1, 4, "c", "", 0.5)
    assert without_overlaps([long, short, sure]) == [sure]
    assert without_overlaps([short, long]) == [long]


def test_only_the_types_asked_for_are_found() -> None:
    text = "a@b.org and +44 20 7946 0958, she is 34 years old, see https://b.org/x"
    assert [s.type for s in find_personal_data(text, ["phone"])] == ["phone"]
    assert [s.type for s in find_personal_data(text, ["age", "url"])] == ["age", "url"]
    assert find_personal_data(text, []) == []
    with pytest.raises(ConfigError, match="telephone"):
        find_personal_data(text, ["telephone"])


@pytest.mark.parametrize(
    "unit",
    "1|@|a@|a.|ab:|1::|1-|1 |://|eyJ|sk-|-----BEGIN PRIVATE KEY-----|路|路1号|北京市|姓名：王|Mr. A|1 A B |password=|GB12"
    "|a1|(1) |1.|?token=|born 1990-|12 Main |Rue A 1 |0x|+1|１|name: A|phone 1|Dear A ".split("|"),
)
def test_no_string_makes_the_search_slow(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    start = time.process_time()
    find_personal_data(text, types=[*TYPES, *MORE_TYPES])
    assert time.process_time() - start < 1  # a search that is not linear takes minutes


def test_empty_text_has_nothing() -> None:
    assert find_personal_data("") == []
    assert mask("") == ""
