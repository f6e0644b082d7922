"""Personal data and secrets in text, English and Chinese: where they are, and the text without them.

Rules only: shapes, check digits, and words close by. Names are found where a form, a title or a verb
announces them; a name in the middle of a sentence is not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from luban.errors import ConfigError
from luban.privacy.addresses import find_addresses
from luban.privacy.credentials import find_secrets, find_wallets
from luban.privacy.dates import find_dates
from luban.privacy.digits import find_numbers
from luban.privacy.folding import fold, has_chinese
from luban.privacy.identity import find_island_ids
from luban.privacy.masking import MODES, Masker
from luban.privacy.names import find_names
from luban.privacy.online import find_addresses_of_machines, find_emails, find_url_secrets, find_urls
from luban.privacy.papers import find_papers
from luban.privacy.spans import Span, digit_runs, without_overlaps

NUMBERS = ("phone", "id_card", "bank_card", "ssn")
PAPERS = ("iban", "company_code", "licence_plate", "passport", "driving_licence", "postcode")
TYPES = (
    *("email", "phone", "id_card", "passport", "driving_licence", "licence_plate", "company_code", "ssn"),
    *("iban", "bank_card", "ip", "mac", "url_secret", "birth_date", "address", "postcode", "person"),
    *("secret", "wallet"),
)
"""What is looked for unless said otherwise."""
MORE_TYPES = ("url", "date", "age")
"""What is only found when asked for by name: alone they name nobody, and clean text is full of them."""
MIN_CONFIDENCE = 0.5


def find_personal_data(
    text: str, types: Collection[str] | None = None, min_confidence: float = MIN_CONFIDENCE
) -> list[Span]:
    """Return what is personal or secret in a text, in order, without overlaps.

    find_personal_data("call 010-62345678", types=["phone"])
    [Span(start=5, end=17, type='phone', rule='Chinese landline', confidence=0.95)]
    """
    wanted = frozenset(check_types(TYPES if types is None else types))
    has_han = has_chinese(text)
    text = fold(text) if has_han else text
    return without_overlaps(s for s in _candidates(text, wanted, has_han) if s.confidence >= min_confidence)


def mask(
    text: str,
    types: Collection[str] | None = None,
    mode: str = "placeholder",
    *,
    modes: Mapping[str, str] | None = None,
    language: str = "en",
    key: bytes = b"",
) -> str:
    """Return the text with personal data removed, or replaced by placeholders or pseudonyms.

    `modes` gives a mode of its own to a type; pseudonyms need a secret `key`: the same value becomes the
    same fake wherever the key is the same.

    mask("write to ann@site.org") == "write to <EMAIL>"
    """
    masker = Masker(mode, dict(modes or {}), language, key)
    return masker.masked(text, find_personal_data(text, types))


def check_types(types: Collection[str]) -> tuple[str, ...]:
    """Return the types, or say which is unknown."""
    known = (*TYPES, *MORE_TYPES)
    for name in types:
        if name not in known:
            raise ConfigError(
                f"there is no type of personal data {name!r}", fix=f"choose of {', '.join(known)}"
            )
    return tuple(types)


def _candidates(text: str, types: frozenset[str], has_han: bool) -> Iterator[Span]:
    runs = digit_runs(text)
    if "email" in types:
        yield from find_emails(text)
    if "url" in types:
        yield from find_urls(text)
    if "url_secret" in types:
        yield from find_url_secrets(text)
    if "secret" in types:
        yield from find_secrets(text, runs, has_han)
    if "person" in types:
        yield from find_names(text, has_han)
    if not runs:
        return
    if types.intersection(NUMBERS):
        yield from find_numbers(text, runs, types)
    if "id_card" in types:
        yield from find_island_ids(text, runs)
    if types.intersection(PAPERS):
        yield from find_papers(text, runs, types)
    if types.intersection(("birth_date", "date", "age")):
        yield from find_dates(text, types, has_han)
    if types.intersection(("ip", "mac")):
        yield from (s for s in find_addresses_of_machines(text) if s.type in types)
    if "address" in types:
        yield from find_addresses(text, runs, has_han)
    if "wallet" in types:
        yield from find_wallets(text, runs)


__all__ = ["MODES", "MORE_TYPES", "TYPES", "Masker", "Span", "check_types", "find_personal_data", "mask"]
