"""Fakes that keep a value's form and name nobody: reserved numbers, wrong check digits, invented names.

A fake is drawn by HMAC-SHA256 (RFC 2104) of the value under a secret key, so the same value gets the same
fake in every process without any of them sharing a table, and nobody without the key can try values out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import string
from collections.abc import Iterator

from luban.privacy.checks import company_check_character, id_check_character, passes_luhn

_NAMES = (
    "Alva Bero Cato Dela Eska Fenn Gale Hild Ivo Jora Kern Lio Mira Noa Orin Pia Quin Rhea Sol Tove".split()
)
_SURNAMES = (
    "Ashwell Birkmoor Calder Drayne Elmsted Farrow Grenholm Haddock Inmark Jessop Kilnworth Larkhill".split()
)
_HAN_SURNAMES = "赵钱孙李周吴郑王冯陈"
_HAN_GIVEN = "甲乙丙丁一二三东南西北中"
_SPACES = re.compile(r"[\s\-().]+")


def pseudonym(kind: str, value: str, key: bytes) -> str:
    """Return the fake of a value; spaces, hyphens and case do not make another value."""
    plain = _SPACES.sub("", value).lower()
    draw = _Draw(hmac.new(key, f"{kind}\0{plain}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest())
    return _MAKERS.get(kind, _same_shape)(value, draw)


class _Draw:
    """Numbers from a digest, stretched by hashing as far as they are needed."""

    def __init__(self, seed: bytes):
        self._bytes = self._stream(seed)

    @staticmethod
    def _stream(seed: bytes) -> Iterator[int]:
        block = 0
        while True:
            yield from hashlib.sha256(seed + block.to_bytes(4, "big")).digest()
            block += 1

    def below(self, n: int) -> int:
        """Return a number from 0 up to n."""
        return int.from_bytes(bytes(next(self._bytes) for _ in range(8)), "big") % n

    def of(self, choices: str | list[str]) -> str:
        """Return one of the choices."""
        return choices[self.below(len(choices))]

    def digits(self, n: int) -> str:
        """Return n digits."""
        return "".join(self.of(string.digits) for _ in range(n))


def _email(value: str, draw: _Draw) -> str:
    # RFC 2606, section 3: example.com is nobody's.
    return f"{draw.of(_NAMES).lower()}.{draw.of(_SURNAMES).lower()}{draw.digits(6)}@example.com"


def _phone(value: str, draw: _Draw) -> str:
    digits = re.sub("[^0-9]", "", value)
    return _refill(value, _fake_phone(digits, value, draw))


def _fake_phone(digits: str, value: str, draw: _Draw) -> str:
    """Return digits of the same number that no subscriber has."""
    n = len(digits)
    if re.fullmatch(r"(?:(?:00)?86)?1[3-9][0-9]{9}", digits):
        return digits[: n - 11] + "12" + draw.digits(9)  # 12 is no prefix of mobile telephones in China
    if n in (10, 11) and digits[n - 10] in "23456789" and (n == 10 or digits[0] == "1") and digits[0] != "0":
        area = f"{2 + draw.below(8)}{draw.digits(2)}"
        return digits[: n - 10] + area + "55501" + draw.digits(2)  # 555-0100 to 555-0199: for fiction
    if n == 11 and digits.startswith("07"):
        return "07700900" + draw.digits(3)  # Ofcom's numbers for drama
    if n == 10 and digits[0] == "0":
        return "063998" + draw.digits(4)  # ARCEP's numbers for fiction
    head = 3 if value.lstrip("(").startswith("+") else 1
    return digits[:head] + "000"[: max(0, n - head)] + draw.digits(max(0, n - head - 3))


def _id_card(value: str, draw: _Draw) -> str:
    born = f"{1950 + draw.below(60)}{1 + draw.below(12):02}{1 + draw.below(28):02}"
    if len(re.sub("[^0-9Xx]", "", value)) == 15:
        return _refill(value, "000000" + born[2:] + draw.digits(3))  # no region has the number 00
    first = f"110101{born}{draw.digits(3)}"
    right = id_check_character(first)
    return _refill(value, first + draw.of([c for c in string.digits if c != right]))


def _bank_card(value: str, draw: _Draw) -> str:
    n = sum(c.isdigit() for c in value)
    digits = value[: 1 if value[0].isdigit() else 0] + draw.digits(n - 1)
    if passes_luhn(digits):
        digits = digits[:-1] + str((int(digits[-1]) + 1 + draw.below(9)) % 10)
    return _refill(value, digits)


def _iban(value: str, draw: _Draw) -> str:
    # Check digits run from 02 to 98 (ISO 13616), so 00 is nobody's.
    return value[:2] + "00" + _same_shape(value[4:], draw)


def _company(value: str, draw: _Draw) -> str:
    first = "91110000" + _same_shape(value[8:17], draw).translate(str.maketrans("IOSVZ", "ABCDE"))
    right = company_check_character(first)
    return first + draw.of([c for c in string.digits if c != right])


def _ssn(value: str, draw: _Draw) -> str:
    return _refill(value, "000" + draw.digits(6))  # no area has the number 000


def _ip(value: str, draw: _Draw) -> str:
    if ":" in value:  # RFC 3849
        return f"2001:db8::{draw.below(65536):x}:{draw.below(65536):x}"
    network = draw.of(["192.0.2", "198.51.100", "203.0.113"])  # RFC 5737
    return f"{network}.{draw.below(254) + 1}"


def _mac(value: str, draw: _Draw) -> str:
    return value[2].join(("00", "00", "5e", "00", "53", f"{draw.below(256):02x}"))  # RFC 7042, section 2.1.2


def _person(value: str, draw: _Draw) -> str:
    if not value.isascii() and any("\u4e00" <= c <= "\u9fff" for c in value):
        return draw.of(_HAN_SURNAMES) + "".join(draw.of(_HAN_GIVEN) for _ in value[1:3])
    return " ".join(
        draw.of(_NAMES if i == 0 and " " in value else _SURNAMES) for i in range(1 + (" " in value))
    )


def _address(value: str, draw: _Draw) -> str:
    if not value.isascii() and any("\u4e00" <= c <= "\u9fff" for c in value):
        return f"示例市示例区示例路{1 + draw.below(999)}号"
    return f"{1 + draw.below(999)} {draw.of(_SURNAMES)} Street"


def _birth_date(value: str, draw: _Draw) -> str:
    """Return the same writing with another year of the decade, month and day."""
    year = re.search("(?:1[89]|20)[0-9]{2}", value)
    fake = re.sub("[0-9]+", lambda m: f"{1 + draw.below(12):0{min(2, len(m.group()))}}", value)
    if not year:
        return fake
    if re.fullmatch("[0-9]{8}", value):
        return f"{year.group()[:3]}{draw.below(10)}{1 + draw.below(12):02}{1 + draw.below(28):02}"
    parts = re.split("([0-9]+)", value)
    small = iter(re.findall("[0-9]+", fake))
    whole = f"{year.group()[:3]}{draw.below(10)}"
    return "".join(
        (whole if len(p) == 4 and next(small) else next(small)) if p.isdigit() else p for p in parts
    )


def _refill(value: str, digits: str) -> str:
    """Put digits in the places of the value's own, so that its spaces, hyphens and brackets stay."""
    left = iter(digits)
    return "".join(next(left, "") if c.isdigit() or c in "Xx" and c.isascii() else c for c in value)


def _same_shape(value: str, draw: _Draw) -> str:
    """Return other letters for letters and other digits for digits; marks stay."""
    return "".join(_other(c, draw) for c in value)


def _other(c: str, draw: _Draw) -> str:
    if c.isdigit():
        return draw.of(string.digits)
    if "\u4e00" <= c <= "\u9fff":
        return draw.of(_HAN_GIVEN)
    if c.isalpha():
        return draw.of(string.ascii_uppercase if c.isupper() else string.ascii_lowercase)
    return c


_MAKERS = {
    "email": _email,
    "phone": _phone,
    "id_card": _id_card,
    "bank_card": _bank_card,
    "iban": _iban,
    "company_code": _company,
    "ssn": _ssn,
    "ip": _ip,
    "mac": _mac,
    "person": _person,
    "address": _address,
    "birth_date": _birth_date,
}
