"""Check digits and shapes that tell a real number from a string of digits."""

from __future__ import annotations

import datetime
import hashlib
import math
from collections import Counter

_ID_WEIGHTS = tuple(pow(2, 17 - i, 11) for i in range(17))
_ID_REGIONS = frozenset(
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 "
    "82 83".split()
)
_COMPANY = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_COMPANY_WEIGHTS = tuple(pow(3, i, 31) for i in range(17))
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in (
        pair.split(":")
        for pair in (
            "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 CH:21 CR:22 CY:28 CZ:24 DE:22 DK:18 "
            "DO:28 EE:20 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 IE:22 IL:23 "
            "IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 MC:27 MD:24 ME:22 MK:19 "
            "MR:27 MT:31 MU:30 NL:18 NO:15 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 SA:24 SC:31 SE:24 SI:19 "
            "SK:24 SM:27 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20"
        ).split()
    )
}
_CARDS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (4, 4, (13, 16, 19)),  # Visa
    (51, 55, (16,)),  # Mastercard
    (2221, 2720, (16,)),
    (34, 34, (15,)),  # American Express
    (37, 37, (15,)),
    (300, 305, (14, 16)),  # Diners
    (3095, 3095, (14, 16)),
    (36, 36, (14, 16)),
    (38, 39, (14, 16)),
    (3528, 3589, (16, 17, 18, 19)),  # JCB
    (2131, 2131, (15,)),
    (1800, 1800, (15,)),
    (6011, 6011, (16, 19)),  # Discover
    (644, 659, (16, 19)),
    (62, 62, (16, 17, 18, 19)),  # UnionPay
    (81, 81, (16, 17, 18, 19)),
    (2200, 2204, (16, 17, 18, 19)),  # Mir
)
_TAIWAN_LETTERS = "ABCDEFGHJKLMNPQRSTUVXYWZIO"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is right by the Luhn formula (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        if place % 2:
            value = value * 2 - 9 * (value > 4)
        total += value
    return total % 10 == 0


def is_issued_card(digits: str) -> bool:
    """Whether prefix and length are those of a card network; the check digit is not looked at."""
    return any(
        len(digits) in lengths and low <= int(digits[: len(str(low))]) <= high
        for low, high, lengths in _CARDS
    )


def is_maestro(digits: str) -> bool:
    """Whether prefix and length could be Maestro's, which are wide: 12 to 19 digits from 50, 56-58 or 6."""
    return 12 <= len(digits) <= 19 and (digits[0] == "6" or digits[:2] in ("50", "56", "57", "58"))


def is_iban(value: str) -> bool:
    """Whether country, length and check digits are right (ISO 13616, modulo 97)."""
    value = value.upper()
    if _IBAN_LENGTHS.get(value[:2]) != len(value) or not value.isalnum() or not value.isascii():
        return False
    return int("".join(str(int(c, 36)) for c in value[4:] + value[:4])) % 97 == 1


def id_check_character(first17: str) -> str:
    """Return the last character of a Chinese ID number (GB 11643-1999, ISO 7064 modulo 11-2)."""
    total = sum(w * (ord(c) - 48) for w, c in zip(_ID_WEIGHTS, first17, strict=True))
    return "10X98765432"[total % 11]


def is_id_card(value: str) -> bool:
    """Whether a Chinese ID number of 18 characters has a known region, a possible birthday and its check."""
    return (
        value[:2] in _ID_REGIONS
        and is_date(value[6:10], value[10:12], value[12:14])
        and 1880 <= int(value[6:10]) <= datetime.date.today().year
        and id_check_character(value[:17]) == value[17].upper()
    )


def is_old_id_card(digits: str) -> bool:
    """Whether a Chinese ID number of the old form, 15 digits, has a known region and a possible birthday."""
    return digits[:2] in _ID_REGIONS and is_date("19" + digits[6:8], digits[8:10], digits[10:12])


def is_taiwan_id(value: str) -> bool:
    """Whether a letter and nine digits add up to a multiple of ten (Taiwan's national identity cards).

    The letter stands for two digits, those of its place in a list by the age of the counties' codes.
    """
    first = 10 + _TAIWAN_LETTERS.index(value[0])
    total = first // 10 + first % 10 * 9 + int(value[9])
    return (total + sum((8 - i) * int(c) for i, c in enumerate(value[1:9]))) % 10 == 0


def is_hong_kong_id(value: str) -> bool:
    """Whether one or two letters, six digits and the check character, "A" for ten, add up to 0 modulo 11.

    A missing first letter counts 36, letters from A count from 10 (Hong Kong identity cards).
    """
    plain = "".join(c for c in value if c.isalnum())
    figures = [36] * (9 - len(plain)) + [int(c, 36) for c in plain]
    return sum((9 - i) * n for i, n in enumerate(figures)) % 11 == 0


def is_date(year: str, month: str, day: str) -> bool:
    """Whether the three make a date."""
    try:
        datetime.date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def company_check_character(first17: str) -> str:
    """Return the last character of a unified social credit code (GB 32100-2015, modulo 31)."""
    total = sum(w * _COMPANY.index(c) for w, c in zip(_COMPANY_WEIGHTS, first17, strict=True))
    return _COMPANY[-total % 31]


def is_company_code(value: str) -> bool:
    """Whether a unified social credit code has only its own letters and its check character."""
    if len(value) != 18 or not all(c in _COMPANY for c in value) or not value[2:8].isdigit():
        return False
    return value[2:4] in _ID_REGIONS | {"10"} and company_check_character(value[:17]) == value[17]


def is_ssn(digits: str) -> bool:
    """Whether nine digits can be a US social security number: no 000, 666 or 9xx area, no zero group."""
    return (
        digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"
    )


def is_base58check(value: str) -> bool:
    """Whether the last four bytes are the double SHA-256 of the others (Bitcoin addresses of old form)."""
    number = 0
    for c in value:
        place = _BASE58.find(c)
        if place < 0:
            return False
        number = number * 58 + place
    if number >= 1 << 200:
        return False
    data = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(data[:21]).digest()).digest()[:4] == data[21:]


def is_bech32(value: str) -> bool:
    """Whether the check characters are right by BIP 173 or BIP 350 (Bitcoin addresses from bc1)."""
    prefix, _, data = value.lower().rpartition("1")
    if not prefix or any(c not in _BECH32 for c in data):
        return False
    check = 1
    generators = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    letters = (
        [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + [_BECH32.index(c) for c in data]
    )
    for letter in letters:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ letter
        for i, generator in enumerate(generators):
            check ^= generator if top >> i & 1 else 0
    return check in (1, 0x2BC830A3)


def entropy_bits(value: str) -> float:
    """Return the Shannon entropy of a string's characters, in bits per character."""
    n = len(value)
    return -sum(k / n * math.log2(k / n) for k in Counter(value).values()) if n else 0.0
