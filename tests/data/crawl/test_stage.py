from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("scrapy")
pytest.importorskip("warcio")

from luban.data.crawl.settings import CrawlSettings
from luban.data.crawl.stage import crawl
from luban.errors import ConfigError, DataError
from luban.log import Log
from tests.data.crawl.site import Answer, Site, links, serve
from tests.data.crawl.traps import CHINESE, JAPANESE, PLAIN, TAIWAN, pages

QUICK: dict[str, Any] = {
    "delay": 0.0,
    "concurrency_per_host": 16,
    "retry_seconds": 0.05,
    "contact": "me@example.org",
}


@dataclass
class Crawled:
    out: Path
    site: Site
    facts: dict[str, Any]
    rows: dict[str, dict[str, Any]]

    def reason(self, path: str) -> str:
        row = self.rows[path if "://" in path else self.site.url + path]
        return f"{row['status']}: {row['reason']}"


def run(site: Site, out: Path, inputs: dict[str, Path] | None = None, **settings: Any) -> Crawled:
    out.mkdir(exist_ok=True)
    settings = {**QUICK, "seeds": (site.url,), "allow_hosts": ("127.0.0.1",), **settings}
    facts = crawl(CrawlSettings(**settings), inputs or {}, out, Log(quiet=True))
    rows = [json.loads(line) for line in (out / "crawl.jsonl").read_text("utf-8").splitlines()]
    return Crawled(out, site, facts, {row["url"]: row for row in rows})


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    found = pages()
    with serve(found) as site:
        port = site.url.rpartition(":")[2]
        found["/to-loopback"].headers["Location"] = f"http://127.0.0.2:{port}/secret"
        # 127.0.0.2 reaches the same machine: its log shows what a crawler without manners would ask for.
        out = tmp_path_factory.mktemp("crawl") / "out"
        hosts = ("127.0.0.1", "127.0.0.2", "169.254.169.254")
        crawled = run(
            site,
            out,
            hosts=hosts,
            timeout=1.5,
            retries=1,
            max_bytes=100_000,
            max_query_variants=5,
            max_depth=6,
        )
        crawled.site = replace(site, log=list(site.log))
        yield crawled


def test_every_address_seen_is_fetched_skipped_or_failed_with_a_reason(traps: Crawled) -> None:
    counts = traps.facts["counts"]
    assert counts["urls"] == counts["fetched"] + counts["skipped"] + counts["failed"] == len(traps.rows)
    assert all(
        row["status"] in ("fetched", "skipped", "failed") and row["reason"] for row in traps.rows.values()
    )
    assert sum(traps.facts["reasons"].values()) == counts["urls"]
    assert not (traps.out / "checkpoints").exists()


def test_disallowed_paths_are_never_requested(traps: Crawled) -> None:
    assert traps.site.paths()[0] == "/robots.txt"
    assert traps.site.paths().count("/robots.txt") == 1
    assert not [p for p in traps.site.paths() if p.startswith("/private")]
    assert traps.reason("/private/1") == "skipped: robots.txt"


def test_no_page_is_asked_for_twice_but_after_a_passing_failure(traps: Crawled) -> None:
    may = {"/busy", "/many", "/slow", "/too-short", "/broken", "/garbage", "/lost?id=2"}
    assert {p for p in traps.site.paths() if traps.site.paths().count(p) > 1} == may


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/loop/3", "failed: redirect loop"),
        ("/self", "failed: redirect loop"),
        ("/hop/10", "failed: too many redirects"),
        ("/moved", "skipped: redirect"),
        ("/slow", "failed: longer than 1.5 seconds"),
        ("/bomb", "failed: too large decompressed"),
        ("/large", "failed: too large"),
        ("/endless-head", "failed: headers too large"),
        ("/garbage", "failed: ParseError: ('non-integer status code', b'\\x16\\x03\\x01 no http at all')"),
        ("/endless-body", "failed: too large"),
        ("/too-short", "failed: body cut short"),
        ("/broken", "failed: http 500"),
        ("/gone", "failed: http 410"),
        ("/next-week", "failed: http 503, asked to wait 604800 s"),
        ("/image", "failed: content type image/png"),
        ("/empty", "skipped: empty"),
        ("/noindex", "skipped: noindex"),
        ("/page?id=1", "skipped: canonical"),
        ("http://127.0.0.1:1/", "skipped: port 1"),
        ("http://user:secret@127.0.0.1/", "skipped: a user name in the address"),
    ],
)
def test_a_trap_ends_with_its_reason(traps: Crawled, path: str, reason: str) -> None:
    assert traps.reason(path) == reason


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.2:{port}/secret", "http://169.254.169.254/latest/meta-data/", "http://127.0.0.2/"],
)
def test_private_addresses_are_refused_after_a_redirect(traps: Crawled, address: str) -> None:
    address = address.replace("{port}", traps.site.url.rpartition(":")[2])
    reason = traps.reason(address)
    assert reason.startswith("failed: robots.txt: address refused")
    assert "/secret" not in traps.site.paths()


def test_addresses_hidden_in_other_spellings_are_refused(traps: Crawled) -> None:
    assert traps.reason("http://[::ffff:7f00:2]/") == "skipped: off host"
    assert traps.reason("/to-file").startswith("failed: redirect to file:///etc/passwd: not http or https")


@pytest.mark.parametrize(
    "path",
    [
        "/", "/zipped", "/too-long", "/no-length", "/chunked", "/plain", "/busy", "/many", "/page", "/front",
        "/lost?id=2", "/only-in-sitemap", "/from-noindex", "/nofollow", "/rel", "/a?b=1", "/calendar?month=1",
    ],
)  # fmt: skip
def test_good_pages_are_stored(traps: Crawled, path: str) -> None:
    assert traps.reason(path) == "fetched: stored"


def test_links_that_say_nofollow_are_not_followed(traps: Crawled) -> None:
    assert not [p for p in traps.site.paths() if p.startswith("/never")]


def test_an_endless_calendar_and_endless_folders_come_to_an_end(traps: Crawled) -> None:
    assert len([p for p in traps.site.paths() if p.startswith("/calendar")]) == 5
    assert traps.facts["reasons"]["skipped: too many variants"] == 2
    deep = [p for p in traps.site.paths() if p.startswith("/deep")]
    assert max(p.count("again") for p in deep) == 3


def test_a_busy_server_is_left_alone_as_long_as_it_asks(traps: Crawled) -> None:
    first, second = traps.site.times("/busy")
    assert second - first >= 1
    assert not [at for _, at, _ in traps.site.log if first + 0.1 < at < first + 0.9]


def test_the_crawler_says_who_it_is_and_keeps_no_cookies(traps: Crawled) -> None:
    headers = traps.site.log[-1][2]
    assert headers["user-agent"].startswith("Luban/")
    assert headers["user-agent"].endswith("(+me@example.org)")
    assert "cookie" not in headers


def test_charsets_are_kept(traps: Crawled) -> None:
    from warcio.archiveiterator import ArchiveIterator

    texts = {"/gb": CHINESE, "/big5": TAIWAN, "/sjis": JAPANESE}
    found = {}
    with (traps.out / "crawl-00000.warc.gz").open("rb") as f:
        for record in ArchiveIterator(f):
            path = (record.rec_headers.get_header("WARC-Target-URI") or "").removeprefix(traps.site.url)
            if record.rec_type == "response" and path in texts:
                charset = traps.rows[traps.site.url + path]["charset"]
                found[path] = record.content_stream().read().decode(charset)
    assert all(texts[path] in found[path] for path in texts)


def test_an_identical_page_becomes_a_revisit(traps: Crawled) -> None:
    from warcio.archiveiterator import ArchiveIterator

    reasons = sorted(traps.reason(p) for p in ("/copy", "/target"))
    assert reasons == ["fetched: duplicate", "fetched: stored"]
    with (traps.out / "crawl-00000.warc.gz").open("rb") as f:
        revisits = [r.rec_headers for r in ArchiveIterator(f) if r.rec_type == "revisit"]
    pairs = {(r.get_header("WARC-Target-URI"), r.get_header("WARC-Refers-To-Target-URI")) for r in revisits}
    both = {f"{traps.site.url}/copy", f"{traps.site.url}/target"}
    assert both in [set(pair) for pair in pairs]


def test_records_lie_where_the_table_says(traps: Crawled) -> None:
    from warcio.archiveiterator import ArchiveIterator

    for row in traps.rows.values():
        if row["warc"]:
            with (traps.out / row["warc"]).open("rb") as f:
                f.seek(row["offset"])
                record = next(iter(ArchiveIterator(f)))
            assert record.rec_headers.get_header("WARC-Target-URI") == row["url"]
            assert record.rec_headers.get_header("WARC-Payload-Digest") == row["digest"]


def test_other_tools_read_the_files_and_find_their_digests_right(traps: Crawled) -> None:
    from warcio.archiveiterator import ArchiveIterator

    n_stored = sum(row["warc"] is not None for row in traps.rows.values())
    with (traps.out / "crawl-00000.warc.gz").open("rb") as f:
        kinds = []
        for record in ArchiveIterator(f, check_digests="raise"):
            record.content_stream().read()
            kinds.append(record.rec_type)
    assert kinds[0] == "warcinfo"
    assert kinds.count("request") == kinds.count("metadata") == n_stored

    fastwarc = pytest.importorskip("fastwarc")
    with (traps.out / "crawl-00000.warc.gz").open("rb") as f:
        records = list(_checked(fastwarc.warc.ArchiveIterator(f, parse_http=False)))
    assert len(records) == len(kinds)
    assert all(records)


def _checked(records: Any) -> Iterator[bool]:
    for record in records:
        yield bool(record.verify_block_digest())


def test_a_second_crawl_asks_for_changes_only_and_keeps_what_is_the_same(
    traps: Crawled, tmp_path: Path
) -> None:
    seeds = (f"{traps.site.url}/tagged", f"{traps.site.url}/plain")
    again = run(traps.site, tmp_path / "again", {"previous": traps.out}, seeds=seeds, sitemaps=False)
    assert again.reason("/tagged") == "fetched: unchanged"
    assert again.reason("/from-tagged") == "fetched: stored"
    assert again.reason("/plain") == "fetched: stored"
    assert (
        again.rows[f"{traps.site.url}/tagged"]["digest"] == traps.rows[f"{traps.site.url}/tagged"]["digest"]
    )
    assert b"tagged" in _body(again, "/tagged")


def _body(crawled: Crawled, path: str) -> bytes:
    from warcio.archiveiterator import ArchiveIterator

    row = crawled.rows[crawled.site.url + path]
    with (crawled.out / row["warc"]).open("rb") as f:
        f.seek(row["offset"])
        return next(iter(ArchiveIterator(f))).content_stream().read()


def test_robots_txt_is_read_again_when_it_has_aged(tmp_path: Path) -> None:
    asked = []

    def robots(path: str, headers: dict[str, str]) -> Answer:
        asked.append(time.monotonic())
        return Answer("User-agent: *\nDisallow:" + (" /later" if len(asked) > 1 else ""), headers=PLAIN)

    found = {"/robots.txt": robots, "/": links("/1"), "/later": "too late"}
    found |= {f"/{i}": links(f"/{i + 1}") for i in range(1, 6)} | {"/6": links("/later")}
    with serve(found) as site:
        crawled = run(site, tmp_path, robots_max_age=0.2, delay=0.05)
    assert len(asked) > 1
    assert crawled.reason("/later") == "skipped: robots.txt"
    assert "/later" not in site.paths()


def test_a_crawl_delay_is_heeded_and_a_broken_robots_txt_forbids_everything(tmp_path: Path) -> None:
    slow = {
        "/robots.txt": Answer("User-agent: luban\nCrawl-delay: 0.3\n", headers=PLAIN),
        "/": links("/1", "/2"),
    }
    broken = {"/robots.txt": Answer("", 503), "/": "never"}
    with serve(slow | {"/1": "1", "/2": "2"}) as first, serve(broken, "127.0.0.3") as second:
        hosts = ("127.0.0.1", "127.0.0.3")
        crawled = run(first, tmp_path, seeds=(first.url, second.url), allow_hosts=hosts, retries=1)
    starts = [at for _, at, _ in first.log]
    assert min(b - a for a, b in zip(starts, starts[1:], strict=False)) > 0.25
    assert second.paths() == ["/robots.txt"] * 2
    assert crawled.reason(second.url + "/") == "failed: robots.txt: http 503"


def test_limits_of_pages_and_patterns_hold_and_files_rotate(tmp_path: Path) -> None:
    found = {"/": links(*(f"/{kind}/{i}" for i in range(6) for kind in "abc"))}
    found |= {f"/{kind}/{i}": f"{kind} {i}" for i in range(6) for kind in "abc"}
    with serve(found) as site:
        crawled = run(
            site,
            tmp_path,
            include=("/[ab]/",),
            exclude=("/b/",),
            max_pages=4,
            max_warc_bytes=2000,
            accept_language="zh",
        )
    assert crawled.facts["counts"]["fetched"] == 4
    assert crawled.facts["reasons"]["skipped: max_pages"] == 3
    assert (
        crawled.facts["reasons"]["skipped: excluded"]
        == crawled.facts["reasons"]["skipped: not included"]
        == 6
    )
    assert not [p for p in site.paths() if p.startswith(("/b", "/c"))]
    assert len({row["warc"] for row in crawled.rows.values() if row["warc"]}) > 1
    assert site.log[-1][2]["accept-language"] == "zh"


def test_a_private_seed_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with serve({"/": "secret"}) as site, pytest.raises(DataError, match="address refused: 127.0.0.1") as e:
        run(site, tmp_path, allow_hosts=())
    assert "crawl.allow_hosts" in e.value.fix
    assert not site.log
    assert not list(tmp_path.iterdir())


def test_a_crawl_without_seeds_and_a_seeds_file_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no address to start from"):
        crawl(CrawlSettings(), {}, tmp_path, Log(quiet=True))
    (tmp_path / "seeds").write_bytes(b"\xff\xfe\x00http")
    with pytest.raises(DataError, match="is not a text file"):
        crawl(CrawlSettings(), {"seeds": tmp_path / "seeds"}, tmp_path, Log(quiet=True))
