"""A site with one of every trap, for the crawl to get through."""

from __future__ import annotations

import gzip
import time
from typing import Any

from tests.data.crawl.site import Answer, Pages, links

CHINESE = "鲁班造木鸢，三日不下。" * 8
TAIWAN = "魯班造木鳶，三日不下。" * 8
JAPANESE = "これは日本語の文章です。" * 8
PLAIN = {"Content-Type": "text/plain"}


def calendar(path: str, headers: dict[str, str]) -> str:
    month = int(path.rpartition("=")[2])
    return links(f"/calendar?month={month + 1}", f"/calendar?month={month - 1}", text=f"month {month}")


def endless(path: str, headers: dict[str, str]) -> str:
    return links(f"{path}again/", f"{path}{len(path)}/", text=path)


def slow(out: Any) -> None:
    out.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(40):
        out.write(b"x")
        out.flush()
        time.sleep(0.1)


def too_short(out: Any) -> None:
    out.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\nonly this")


def too_long(out: Any) -> None:
    out.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nfour and more, never to be read"
    )


def no_length(out: Any) -> None:
    out.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nup to the end of the connection")


def chunked(out: Any) -> None:
    out.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
    out.write(b"6\r\nin two\r\n6\r\n parts\r\n0\r\n\r\n")


def endless_body(out: Any) -> None:
    out.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
    for _ in range(100):
        out.write(b"x" * 10_000)


def endless_head(out: Any) -> None:
    out.write(b"HTTP/1.1 200 OK\r\n")
    for i in range(3000):
        out.write(b"X-%d: %s\r\n" % (i, b"x" * 1000))


def garbage(out: Any) -> None:
    out.write(b"\x16\x03\x01 no http at all\r\n\r\n")


class Busy:
    """Says that it is too busy, so many times, then answers."""

    def __init__(self, times: int, status: int, wait: str):
        self.left, self.status, self.wait = times, status, wait

    def __call__(self, path: str, headers: dict[str, str]) -> Answer:
        self.left -= 1
        if self.left >= 0:
            return Answer("later", self.status, {"Retry-After": self.wait})
        return Answer(links(text=f"patience {path}"))


def tagged(body: str, tag: str) -> Any:
    def answer(path: str, headers: dict[str, str]) -> Answer:
        known = headers.get("if-none-match") == tag
        return Answer("" if known else body, 304 if known else 200, {"ETag": tag})

    return answer


def redirect(to: str, status: int = 302) -> Answer:
    return Answer(status=status, headers={"Location": to})


def pages() -> Pages:
    bomb = gzip.compress(b"0" * 2_000_000)
    body: dict[str, Any] = {
        "/robots.txt": Answer("User-agent: *\nDisallow: /private\nSitemap: /index.xml\n", headers=PLAIN),
        "/index.xml": '<?xml version="1.0"?><sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
        "<sitemap><loc>/map.xml.gz</loc></sitemap></sitemapindex>",
        "/map.xml.gz": Answer(
            gzip.compress(b"<urlset><url><loc>/only-in-sitemap</loc></url></urlset>"),
            headers={"Content-Type": "application/gzip"},
        ),
        "/only-in-sitemap": "listed",
        "/calendar?*": calendar,
        "/deep/*": endless,
        "/loop/1": redirect("/loop/2"),
        "/loop/2": redirect("/loop/3"),
        "/loop/3": redirect("/loop/1"),
        "/self": redirect("/self"),
        "/hop/*": lambda path, headers: redirect(f"/hop/{int(path[5:]) + 1}"),
        "/moved": redirect("/target#part", 301),
        "/target": "<p>moved here</p>",
        "/to-loopback": redirect("http://127.0.0.2:{port}/secret"),
        "/to-metadata": redirect("http://169.254.169.254/latest/meta-data/"),
        "/to-decimal": redirect("http://2130706434/"),
        "/to-mapped": redirect("http://[::ffff:127.0.0.2]/"),
        "/to-file": redirect("file:///etc/passwd"),
        "/slow": Answer(send=slow),
        "/bomb": Answer(bomb, headers={"Content-Encoding": "gzip"}),
        "/zipped": Answer(gzip.compress(b"<p>small again</p>"), headers={"Content-Encoding": "gzip"}),
        "/too-short": Answer(send=too_short),
        "/too-long": Answer(send=too_long),
        "/no-length": Answer(send=no_length),
        "/chunked": Answer(send=chunked),
        "/endless-body": Answer(send=endless_body),
        "/endless-head": Answer(send=endless_head),
        "/garbage": Answer(send=garbage),
        "/large": "x" * 200_000,
        "/busy": Busy(1, 503, "1"),
        "/many": Busy(1, 429, ""),
        "/next-week": Busy(9, 503, "604800"),
        "/broken": Answer("no", 500),
        "/gone": Answer("no", 410),
        "/gb": Answer(CHINESE.encode("gb18030"), headers={"Content-Type": "text/html; charset=GB18030"}),
        "/big5": Answer(b'<meta charset="big5">' + TAIWAN.encode("big5")),
        "/sjis": Answer(JAPANESE.encode("shift_jis"), headers={"Content-Type": "text/html; charset=Shift_JIS"}),
        "/image": Answer(b"\x89PNG", headers={"Content-Type": "image/png"}),
        "/plain": Answer("plain words", headers=PLAIN),
        "/empty": "",
        "/page?id=1": links(text="the page", head='<link rel="canonical" href="/page">'),
        "/page": links(text="the page itself"),
        "/lost?id=2": links(text="kept", head='<link rel="canonical" href="/nowhere">'),
        "/front": links(text="not the front page", head='<link rel="canonical" href="/">'),
        "/copy": "<p>moved here</p>",
        "/noindex": links("/from-noindex", head='<meta name="robots" content="noindex">'),
        "/from-noindex": "from noindex",
        "/nofollow": links("/never-1", head='<meta name="ROBOTS" content="NOFOLLOW">'),
        "/rel": '<p>rel <a rel="nofollow ugc" href="/never-2">x</a></p>',
        "/tagged": tagged(links("/from-tagged", text="tagged"), '"v1"'),
        "/from-tagged": "from tagged",
        "/private/*": "never to be seen",
    }  # fmt: skip
    starts = [p for p in body if "*" not in p and p not in ("/robots.txt", "/index.xml", "/map.xml.gz")]
    hidden = ("/only-in-sitemap", "/target", "/page", "/from-noindex", "/from-tagged", "/loop/2", "/loop/3")
    starts = [p for p in starts if p not in hidden]
    more = ["/calendar?month=0", "/deep/", "/hop/0", "/private/1", "/a?utm_source=x&b=1", "/a?b=1#top"]
    more += ["http://user:secret@127.0.0.1/", "http://127.0.0.1:1/", "mailto:a@b.c", "javascript:void(0)"]
    return {"/": links(*starts, *more), "/a?b=1": "without tracking", **body}
