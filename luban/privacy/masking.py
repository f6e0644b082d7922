"""What takes the place of personal data: nothing, a placeholder, or a pseudonym that keeps the form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from luban.errors import ConfigError
from luban.privacy.pseudonyms import pseudonym
from luban.privacy.spans import Span

MODES = ("placeholder", "pseudonym", "remove", "keep")
"""A placeholder names the type; a pseudonym is a fake of the same form; `keep` only counts."""
CHINESE = {
    "email": "电子邮件",
    "phone": "电话",
    "id_card": "身份证号",
    "passport": "护照号",
    "driving_licence": "驾照号",
    "licence_plate": "车牌号",
    "company_code": "统一社会信用代码",
    "ssn": "社会安全号",
    "iban": "国际银行账号",
    "bank_card": "银行卡号",
    "ip": "IP地址",
    "mac": "MAC地址",
    "url_secret": "网址密钥",
    "birth_date": "出生日期",
    "address": "地址",
    "postcode": "邮编",
    "person": "姓名",
    "secret": "密钥",
    "wallet": "钱包地址",
    "url": "网址",
    "date": "日期",
    "age": "年龄",
}
"""Names of the types in Chinese placeholders."""


@dataclass(frozen=True, slots=True)
class Masker:
    """Replaces spans of a text. `key` makes pseudonyms: who has it can link them, nobody can reverse them.

    `language` is that of placeholders: "en" `<EMAIL>`, "zh" `[电子邮件]`.
    """

    mode: str = "placeholder"
    modes: Mapping[str, str] = field(default_factory=dict)
    language: str = "en"
    key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        """Refuse unknown modes, and pseudonyms without a key."""
        for mode in (self.mode, *self.modes.values()):
            if mode not in MODES:
                raise ConfigError(f"there is no way {mode!r} to mask", fix=f"choose of {', '.join(MODES)}")
        for name in self.modes:
            if name not in CHINESE:
                raise ConfigError(
                    f"there is no type of personal data {name!r}", fix=f"choose of {', '.join(CHINESE)}"
                )
        if "pseudonym" in (self.mode, *self.modes.values()) and not self.key:
            raise ConfigError(
                "pseudonyms need a secret key: without one anybody could try values until they match",
                fix="export LUBAN_PSEUDONYM_KEY=$(openssl rand -hex 32), and keep it where the data are not",
            )

    def masked(self, text: str, spans: Sequence[Span]) -> str:
        """Return the text with its spans replaced."""
        parts, place = [], 0
        for span in spans:
            parts += [text[place : span.start], self.replacement(span.type, text[span.start : span.end])]
            place = span.end
        return "".join((*parts, text[place:]))

    def replacement(self, kind: str, value: str) -> str:
        """Return what stands for a value of a type."""
        mode = self.modes.get(kind, self.mode)
        if mode == "placeholder":
            return f"[{CHINESE[kind]}]" if self.language == "zh" else f"<{kind.upper()}>"
        if mode == "pseudonym":
            return pseudonym(kind, value, self.key)
        return value if mode == "keep" else ""
