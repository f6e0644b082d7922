"""What points at a person on the network: e-mail, URLs with credentials, IP and MAC addresses."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator

from luban.privacy.spans import Span, is_word, says

_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+'-"
_DOMAIN = re.compile(
    r"@(?:[^\W_](?:[^\W_]|-){0,62}\.){1,8}"
    r"([A-Za-z]{2,24}|xn--[a-z0-9-]{2,59}|中国|中文网|公司|网络|网址|网站|网店|广告|商城|商店|在线|集团|我爱你|公益|政务|移动|信息|香港"
    r"|台湾|企业|机构|新加坡|世界|рф|укр|бел|срб)(?![A-Za-z0-9-])"
)
_HAN_KANA = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
_LEADS_TO_EMAIL = re.compile(
    r".*(?:邮箱|邮件|电邮|信箱|地址|联系|账号|[发寄投写回]送?[到至给往信])(?:地址)?[是为到至给在于]*", re.S
)
_SAYS_EMAIL = re.compile(r"(?:邮箱|邮件|电邮|信箱|e-?mail|邮址|地址)[:：] ?\Z|<\Z", re.I)
_FILES = frozenset("png jpg jpeg gif svg webp js css html py md json ico".split())
_SPELT = re.compile(
    r"[\[(]at[\])]\s?([A-Za-z0-9-]{1,63}(?:(?:\s?[\[({]dot[\])}]\s?|\.)[A-Za-z0-9-]{2,63}){1,4})",
    re.I,
)
_URL = re.compile(r"://[^\s<>\"'`{}|\\^，。；、）】》」]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,15}\Z")
_USERINFO = re.compile(r"://([^/?#@\s]{1,256})@")
_QUERY = re.compile(
    r"[?&;#](?:access_?token|auth_?token|id_?token|refresh_?token|token|api_?key|key|secret|client_secret|sig|signature"
    r"|password|passwd|pwd|session(?:_?id)?|sid|code|x-amz-signature|x-amz-credential)=([^&#\s]{8,2048})",
    re.I,
)
_IPV4 = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9A-Za-z]|\.[0-9])")
_DOTS = re.compile(r"\.[0-9]{1,3}\.[0-9]")
_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")
_HEX = "0123456789abcdefABCDEF:"
_HEX_RUN = re.compile(r"[0-9A-Fa-f:]{2,45}(?:\.[0-9]{1,3}){0,3}")
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Za-z:-])")
_MAC_INSIDE = tuple(re.compile(f"{c}[0-9A-Fa-f]{{2}}{c}[0-9A-Fa-f]{{2}}{c}") for c in ":-")
_SAYS_IP = re.compile(r"\bips?\b|address|host|server|地址|服务器|主机|IP", re.I)
_SAYS_VERSION = re.compile(
    r"(?:\bversions?|\bver\.?|\brelease|\bsection|\bchapter|版本|章节|§|\bv)\s*\Z", re.I
)


def find_emails(text: str) -> Iterator[Span]:
    """Yield e-mail addresses, also those spelt `name [at] site [dot] org`."""
    for match in _DOMAIN.finditer(text):
        at = match.start()
        start = _local_start(text, at)
        name = text[start:at]
        is_git = name == "git" and text[match.end() : match.end() + 1] in (":", "/")
        if name and not name.endswith(".") and match.group(1).lower() not in _FILES and not is_git:
            yield Span(start, match.end(), "email", "e-mail address", 0.95)
    if "[at]" in text or "(at)" in text or "(AT)" in text or "[AT]" in text:
        for match in _SPELT.finditer(text):
            before = text[max(0, match.start() - 64) : match.start()].rstrip()
            name = before[len(before.rstrip(_LOCAL)) :].lstrip(".'%+-")
            is_domain = "." in match.group(1) or "dot" in match.group(1).lower()
            if name and is_domain:
                start = text.rindex(name, 0, match.start())
                yield Span(start, match.end(), "email", "spelt e-mail address", 0.8)


def _local_start(text: str, at: int) -> int:
    """Return where the part before the @ begins: letters of any script (RFC 6531), a quoted string, or
    `a@b`. Chinese is written without spaces, so characters before Latin letters are seldom part of it."""
    least = max(0, at - 64)
    quote = text.rfind('"', least, at - 1) if text.startswith('"', at - 1) else -1
    if quote >= 0 and "\n" not in text[quote:at]:
        return quote
    start = at
    while start > least and (text[start - 1] in _LOCAL or _is_letter(text[start - 1])):
        start -= 1
        if start > least + 1 and text[start - 1] == "@" and _is_letter(text[start - 2]):
            start -= 1
    name = text[start:at]
    han = [match.end() for match in _HAN_KANA.finditer(name)]
    if han:
        lead = _LEADS_TO_EMAIL.match(name)
        is_whole = lead is None and (
            han[-1] == len(name) or _SAYS_EMAIL.search(text, max(0, start - 8), start)
        )
        cut = han[-1] if han[-1] < len(name) else lead.end() if lead else 0
        start += 0 if is_whole else cut
    return start + len(text[start:at]) - len(text[start:at].lstrip(".'%+-"))


def _is_letter(c: str) -> bool:
    return c.isalnum() or not c.isascii() and unicodedata.combining(c) > 0


def find_urls(text: str) -> Iterator[Span]:
    """Yield every URL with a scheme."""
    if "://" in text:
        for start, end in _urls(text):
            yield Span(start, end, "url", "url", 0.55)


def find_url_secrets(text: str) -> Iterator[Span]:
    """Yield the user names, passwords and tokens in URLs; the rest of the URL stays."""
    if "://" not in text:
        return
    for match in _URL.finditer(text):
        user = _USERINFO.match(text, match.start(), match.end())
        if user:
            yield Span(*user.span(1), "url_secret", "user in url", 0.97)
        for query in _QUERY.finditer(text, match.start(), match.end()):
            sure = 0.8 if any(c.isdigit() for c in query.group(1)) else 0.4
            yield Span(*query.span(1), "url_secret", "token in url", sure)


def _urls(text: str) -> Iterator[tuple[int, int]]:
    for match in _URL.finditer(text):
        scheme = _SCHEME.search(text, max(0, match.start() - 16), match.start())
        if scheme:
            end = match.end()
            while text[end - 1] in ".,;:!?)]*":
                end -= 1
            yield scheme.start(), end


def find_addresses_of_machines(text: str) -> Iterator[Span]:
    """Yield IPv4, IPv6 and MAC addresses; loopback and unspecified ones are nobody's."""
    if _DOTS.search(text):
        yield from _ipv4(text)
    if text.count(":") > 1:
        yield from _ipv6(text)
    yield from _mac(text)


def _ipv4(text: str) -> Iterator[Span]:
    for match in _IPV4.finditer(text):
        if is_word(text, match.start() - 1) or text[match.start() - 1 : match.start()] == ".":
            continue
        try:
            address = ipaddress.IPv4Address(match.group())
        except ValueError:
            continue
        sure = 0.9 if address.is_global else 0.6
        if address.is_loopback or address.is_unspecified or address.is_multicast or match.group()[0] == "0":
            sure = 0.3
        elif match.group().startswith("255.") or match.group().endswith((".0", ".255")):
            sure = 0.4  # masks, networks, broadcasts
        elif says(_SAYS_VERSION, text, match.start(), 12):
            sure = 0.2
        elif len(match.group()) <= 9 and (
            text.startswith(". ", match.end()) or not says(_SAYS_IP, text, match.start())
        ):
            sure = 0.4  # 1.2.3.4 is a section or a version more often
        yield Span(*match.span(), "ip", "IPv4", sure)


def _ipv6(text: str) -> Iterator[Span]:
    end = 0
    for match in _COLONS.finditer(text):
        if match.start() < end:
            continue
        before = text[max(0, match.start() - 5) : match.start()]
        start = match.start() - (len(before) - len(before.rstrip(_HEX)))
        run = _HEX_RUN.match(text, start)
        if run is None or is_word(text, start - 1) or is_word(text, run.end()):
            continue
        end = run.end()
        value = run.group()
        value = value[:-1] if value.endswith(":") and not value.endswith("::") else value
        try:
            address = ipaddress.IPv6Address(value)
        except ValueError:
            continue
        end = start + len(value)
        few = sum(map(bool, value.split(":"))) < 3
        sure = 0.3 if address.is_loopback or address.is_unspecified or few else 0.85
        yield Span(start, end, "ip", "IPv6", sure)


def _mac(text: str) -> Iterator[Span]:
    end = 0
    for inside in (m for shape in _MAC_INSIDE for m in shape.finditer(text)):
        start = inside.start() - 2
        if (
            start < 0
            or 0 <= end - start < 17
            or is_word(text, start - 1)
            or text[start - 1 : start] in (":", "-")
        ):
            continue
        match = _MAC.match(text, start)
        if match:
            end = match.end()
            value = match.group().replace("-", ":").lower()
            yield Span(start, end, "mac", "MAC", 0.3 if len(set(value.split(":"))) == 1 else 0.85)
