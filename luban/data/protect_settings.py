"""Settings of the stage that protects people and owners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from luban.data.settings import Count, Seed, Share, WorkSettings
from luban.errors import ConfigError
from luban.privacy.pii import TYPES

Mode = Literal["placeholder", "pseudonym", "remove", "keep"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtectSettings(WorkSettings):
    """Mask personal data and secrets, keep to licences and opt-outs, plant canaries."""

    types: tuple[str, ...] = TYPES
    """What to look for: email, phone, id_card, passport, driving_licence, licence_plate, company_code,
    ssn, iban, bank_card, ip, mac, url_secret, birth_date, address, postcode, person, secret, wallet; and
    url, date and age only where they are named."""
    mode: Mode = "placeholder"
    """What takes its place: `<EMAIL>`, a fake of the same form (pseudonym), or nothing (remove); keep
    only counts."""
    modes: Mapping[str, Mode] = field(default_factory=dict)
    """Another mode for a type: {email: pseudonym}."""
    language: Literal["en", "zh", "document"] = "en"
    """Placeholders like `<EMAIL>` (en) or `[电子邮件]` (zh), or by the language of the document."""
    min_confidence: Share = 0.5
    """Mask only what is at least so sure."""
    columns: tuple[str, ...] = ()
    """Other text columns to mask, such as title."""
    column: bool = False
    """Add the column personal_data with what was found in each document: "email 2, phone 1"."""
    key_variable: str = "LUBAN_PSEUDONYM_KEY"
    """Environment variable with the secret that pseudonyms are made from: the same secret, the same fakes.
    Run it once: most fakes would be replaced by others the second time."""
    allow_licences: tuple[str, ...] = ()
    """Keep only documents under these, as SPDX names or patterns; of `A OR B` one is enough. A pattern takes
    what it says: CC-BY-* also CC-BY-SA-4.0, but NC and ND licences only where it names them (CC-BY-NC-*)."""
    deny_licences: tuple[str, ...] = ()
    """Drop documents under these; of `A OR B` the other may still be used, of `A AND B` not."""
    unknown_licence: Literal["keep", "drop"] = "keep"
    """What to do with documents of unknown licence."""
    canaries: Annotated[int, Field(ge=0)] = 0
    """Plant so many made-up secrets, listed in canaries.jsonl: to measure later what a model learns by
    heart."""
    canary_repeats: Count = 1
    """Plant each so many times."""
    canary_format: str = "The random number is #########."
    """What a canary looks like: each # becomes a random digit."""
    canary_place: Literal["documents", "inside"] = "documents"
    """As documents of their own, or inside documents of the train split (of all, where nothing is split)."""
    canary_seed: Seed = 1
    """Decides the digits and the places."""

    def __post_init__(self) -> None:
        """Refuse canaries that could be guessed or that are not distinct."""
        if self.canaries and self.canary_format.count("#") < 6:
            raise ConfigError(
                f"protect.canary_format = {self.canary_format!r} has fewer than six random digits",
                fix='write at least six #, as in "The random number is #########."',
            )
