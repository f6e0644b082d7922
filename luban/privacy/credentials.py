"""Keys and passwords: tokens with a provider's prefix, private keys, and assignments of random strings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from luban.privacy.checks import entropy_bits, is_base58check, is_bech32
from luban.privacy.spans import Span, is_word, says

_HERE = r"(?<![A-Za-z0-9_-])"  # a token begins where no other goes on: keeps the search linear
_TOKENS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    # what it is, pieces of which one must occur, the shape (from the providers' own documentation)
    ("AWS access key", ("AKIA", "ASIA"), r"A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("Google API key", ("AIza",), r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    ("Google token", ("ya29.",), r"ya29\.[A-Za-z0-9_-]{20,}"),
    ("GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    ("GitHub token", ("github_pat_",), r"github_pat_[A-Za-z0-9_]{40,255}"),
    ("GitLab token", ("glpat-",), r"glpat-[A-Za-z0-9_-]{20,}"),
    ("Slack token", ("xox",), r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("Stripe key", ("_live_", "_test_"), r"[spr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("model provider key", ("sk-",), r"sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}"),
    ("Hugging Face token", ("hf_",), r"hf_(?=[a-z0-9]{0,64}[A-Z])[A-Za-z0-9]{30,}"),
    ("npm token", ("npm_",), r"npm_[A-Za-z0-9]{36}"),
    ("PyPI token", ("pypi-AgE",), r"pypi-AgE[A-Za-z0-9_-]{40,}"),
    ("SendGrid key", ("SG.",), r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,64}"),
    ("Alibaba Cloud key", ("LTAI",), r"LTAI[A-Za-z0-9]{12,26}(?![A-Za-z0-9])"),
    ("Tencent Cloud key", ("AKID",), r"AKID[A-Za-z0-9]{30,40}(?![A-Za-z0-9])"),
    ("DigitalOcean token", ("dop_v1_",), r"dop_v1_[a-f0-9]{64}"),
    ("Shopify token", ("shpat_", "shpss_"), r"shp(?:at|ss)_[a-fA-F0-9]{32}"),
    ("Telegram token", (":AA",), r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    ("JSON web token", ("eyJ",), r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
)
_DIGITLESS = ("AKIA", "ASIA", "hf_", "ghp_", "npm_")
"""Tokens of letters alone: by their alphabet, or short enough that some have no digit by chance."""
_RULES = tuple((name, marks, re.compile(_HERE + shape)) for name, marks, shape in _TOKENS)
_SLACK_HOOK = re.compile(r"hooks\.slack\.com/services/(T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,30})")
_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(r"[A-Za-z0-9+/=\s:,\\-]*")
_HEADERS = tuple(
    re.compile(f"{name} {{1,4}}([A-Za-z0-9._~+/-]{{20,4096}}={{0,2}})")
    for name in ("earer", "Basic", "basic")
)
_ASCII = (
    r"(?:\"(?P<double>[^\"\s]{6,256})\"|'(?P<single>[^'\s]{6,256})'"
    r"|([\"'“`]?)(?P<bare>[!#-&*+\--:=?-Z\\^_a-z|~]{6,256})([\"'”`]?))"
)
_ASSIGNED = tuple(re.compile(sign + r"=?>?\s{0,4}" + _ASCII) for sign in ":=")
_CHINESE_ASSIGNED = tuple(re.compile(sign + r"\s{0,4}" + _ASCII) for sign in "：是为")
_SPOKEN = re.compile(" is " + _ASCII)
_SPOKEN_OF = ("word", "key", "token", "ecret")
_LONG = re.compile(r"[A-Za-z0-9_.:-]{10}")
_ASSIGNED_TO = re.compile(
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|account[_-]?key|auth[_-]?key"
    r"|private[_-]?key|secret[_-]?key|credentials?|密码|口令|密钥|令牌|秘钥)[A-Za-z0-9_]{0,20}[\"']?\]?\s{0,4}:?\Z",
    re.I,
)
_WEAK = frozenset(
    "changeme password secret example placeholder xxxxxxxx your_password none null true false".split()
)
_WALLETS = tuple(
    (re.compile(shape + "(?![0-9A-Za-z])"), check)
    for shape, check in (
        ("0x[0-9a-fA-F]{40}", lambda value: len(set(value[2:].lower())) > 3),
        ("bc1[02-9ac-hj-np-z]{11,71}", is_bech32),
    )
)


_OLD_WALLET = re.compile("[13][1-9A-HJ-NP-Za-km-z]{25,34}(?![0-9A-Za-z])")


def find_secrets(text: str, runs: Sequence[tuple[int, int]], has_han: bool) -> Iterator[Span]:
    """Yield keys, tokens, passwords and private keys; `runs` are the text's digits."""
    tokens = " ".join(_tokens(text, runs))
    if any(mark in text for mark in _DIGITLESS):
        tokens += " " + " ".join(_DIGITLESS)
    for name, marks, shape in _RULES if tokens else ():
        if any(mark in tokens for mark in marks):
            for match in shape.finditer(text):
                yield Span(*match.span(), "secret", name, 0.95)
    if "hooks.slack.com" in text:
        for match in _SLACK_HOOK.finditer(text):
            yield Span(*match.span(1), "secret", "Slack hook", 0.95)
    if "-----BEGIN " in text:
        yield from _private_keys(text)
    if runs:
        yield from _assigned(text, has_han)


def _tokens(text: str, runs: Sequence[tuple[int, int]]) -> Iterator[str]:
    done = 0
    for start, end in runs:
        if start >= done and _in_token(text, start, end):
            done = end + 256
            yield text[max(0, start - 48) : done + 48]


def _in_token(text: str, start: int, end: int) -> bool:
    """Whether digits stand in an unbroken piece of ten characters or more, with letters beside them."""
    if is_word(text, start - 1):
        return _LONG.match(text, start) is not None or _LONG.match(text, max(0, start - 9)) is not None
    return is_word(text, end) and _LONG.match(text, start) is not None


def find_wallets(text: str, runs: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """Yield Bitcoin addresses whose check is right, and Ethereum addresses; `runs` are the text's digits."""
    for shape, check in _WALLETS:
        for match in shape.finditer(text):
            if not is_word(text, match.start() - 1) and check(match.group()):
                yield Span(*match.span(), "wallet", "wallet", 0.9)
    for start, end in runs:
        if text[start] in "13" and end - start < 20 and is_word(text, end) and not is_word(text, start - 1):
            old = _OLD_WALLET.match(text, start)
            if old and is_base58check(old.group()):
                yield Span(*old.span(), "wallet", "wallet", 0.9)


def _private_keys(text: str) -> Iterator[Span]:
    ends = [match.end() for match in _END.finditer(text)]
    done = n = 0
    for begin in _BEGIN.finditer(text):
        if begin.start() < done:
            continue
        while n < len(ends) and ends[n] < begin.end():
            n += 1
        body = _BODY.match(text, begin.end())
        done = ends[n] if n < len(ends) else body.end() if body else begin.end()
        if done - begin.end() > 40:
            yield Span(begin.start(), done, "secret", "private key", 0.98)


def _assigned(text: str, has_han: bool) -> Iterator[Span]:
    for header in _HEADERS:
        for match in header.finditer(text):
            if _is_random(match.group(1), 3.2):
                yield Span(*match.span(1), "secret", "authorisation header", 0.8)
    for sign in (*_ASSIGNED, *_CHINESE_ASSIGNED) if has_han else _ASSIGNED:
        for match in sign.finditer(text):
            yield from _value(text, match, is_named=False)
    for match in _SPOKEN.finditer(text):
        if text.endswith(_SPOKEN_OF, 0, match.start()):
            yield from _value(text, match, is_named=True)


def _value(text: str, match: re.Match[str], is_named: bool) -> Iterator[Span]:
    kind = next(name for name in ("double", "single", "bare") if match[name] is not None)
    value = match[kind]
    if any(c.isdigit() for c in value):
        is_quoted = kind != "bare" or bool(match[3] and match[5])
        if not is_quoted:
            value = value.rstrip(".!?" if is_named else ".")  # in a sentence ! ends it, in a form it belongs
        named = is_named or says(_ASSIGNED_TO, text, match.start(), 48)
        if named and _is_password(value, is_quoted):
            start = match.start(kind)
            yield Span(start, start + len(value), "secret", "assigned secret", 0.75 if is_quoted else 0.6)


def _is_password(value: str, is_quoted: bool) -> bool:
    """Whether a value looks chosen or drawn rather than being a name, a path or a placeholder."""
    if value.lower() in _WEAK or not value.isascii() or value[0] in "$%/.<" or "://" in value:
        return False
    if is_quoted and len(value) < 10:
        return _kinds(value) >= 2 and any(c.isdigit() for c in value)
    return (
        _kinds(value) >= 2
        and any(c.isdigit() for c in value)
        and _is_random(value, 2.0 if is_quoted else 2.4)
    )


def _kinds(value: str) -> int:
    return (
        any(c.isdigit() for c in value)
        + any(c.islower() for c in value)
        + any(c.isupper() for c in value)
        + any(not c.isalnum() and c not in "_.-" for c in value)
    )


def _is_random(value: str, bits: float) -> bool:
    return any(c.isdigit() for c in value) and entropy_bits(value) >= bits
