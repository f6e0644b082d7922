from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("scrapy")
pytest.importorskip("warcio")

from luban.data.finding import find_places
from tests.data.crawl.site import Answer, Pages, Site, links, serve

N_PAGES = 40


def chain() -> Pages:
    """A site of pages that take a moment each, every one reachable in a few steps."""

    def page(path: str, headers: dict[str, str]) -> Answer:
        time.sleep(0.1)
        number = int(path.rpartition("/")[2])
        return Answer(links(*(f"/p/{n}" for n in (2 * number + 1, 2 * number + 2) if n < N_PAGES), text=path))

    return {f"/p/{i}": page for i in range(N_PAGES)}


def start(site: Site, out: Path, *sets: str, **environment: str) -> subprocess.Popen[str]:
    settings = [
        "delay=0.0",
        "concurrency=4",
        "concurrency_per_host=4",
        "allow_hosts=[127.0.0.1]",
        "timeout=5",
        *sets,
    ]
    command = [
        sys.executable,
        "-m",
        "luban.cli",
        "data",
        "crawl",
        f"{site.url}/p/0",
        "--out",
        str(out),
        "--json",
    ]
    command += [word for s in settings for word in ("--set", f"crawl.{s}")]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def wait_for(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


def crawler_of(out: Path) -> int:
    lock = next(out.parent.glob(f"{out.name}.partial-*/checkpoints/crawling.lock"))
    return int(lock.read_text())


def not_stored(out: Path) -> set[str]:
    file = next(out.parent.glob(f"{out.name}.partial-*/checkpoints/frontier.sqlite"))
    with sqlite3.connect(file) as db:
        return {url for (url,) in db.execute("SELECT url FROM urls WHERE state!='fetched'")}


def check_whole(process: subprocess.Popen[str], site: Site, out: Path) -> None:
    text, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    counts = json.loads(text.splitlines()[-1])["counts"]
    assert counts == {**counts, "urls": N_PAGES, "fetched": N_PAGES, "skipped": 0, "failed": 0}
    from warcio.archiveiterator import ArchiveIterator

    with (out / "crawl-00000.warc.gz").open("rb") as f:
        stored = [
            r.rec_headers.get_header("WARC-Target-URI")
            for r in ArchiveIterator(f)
            if r.rec_type == "response"
        ]
    assert sorted(stored) == sorted(f"{site.url}/p/{i}" for i in range(N_PAGES))


def test_stopped_by_ctrl_c_and_then_killed_it_goes_on_and_fetches_no_stored_page_again(
    tmp_path: Path,
) -> None:
    out = tmp_path / "crawl"
    with serve(chain()) as site:
        first = start(site, out)
        wait_for(lambda: len(site.log) > 10)
        first.send_signal(signal.SIGINT)
        _, errors = first.communicate(timeout=20)
        assert first.returncode == 130, errors
        assert "the same command goes on" in errors
        n_asked = len(site.log)

        second = start(site, out)
        wait_for(lambda: len(site.log) > n_asked + 8)
        os.kill(crawler_of(out), signal.SIGKILL)
        os.kill(second.pid, signal.SIGKILL)
        second.communicate()
        before = site.paths()
        assert len(before) == len(set(before)) < N_PAGES
        open_urls = not_stored(out)
        with next(tmp_path.glob("crawl.partial-*/crawl-00000.warc.gz")).open("ab") as f:
            f.write(gzip.compress(b"WARC/1.1\r\ntorn")[:-6])

        check_whole(start(site, out), site, out)
        again = [p for p in site.paths()[len(before) :] if p in before]
        assert len(again) <= 4
        assert {f"{site.url}{p}" for p in again} <= open_urls

        n_asked = len(site.log)
        check_whole(start(site, out), site, out)  # a finished crawl is reused
        assert len(site.log) == n_asked
    assert [place.path.name for place in find_places(out)] == ["crawl-00000.warc.gz"]


@pytest.mark.slow
def test_a_crawler_whose_parent_was_killed_ends_and_the_next_one_waits_for_it(tmp_path: Path) -> None:
    out = tmp_path / "crawl"
    with serve(chain()) as site:
        first = start(site, out)
        wait_for(lambda: len(site.log) > 15)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        check_whole(start(site, out), site, out)
        assert len(site.log) <= N_PAGES + 1 + 4


REBINDING = """
import socket
asked = []
def look_up(host, *arguments, **options):
    asked.append(host)
    address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
    if len(asked) == 1:
        import luban.data.crawl.addresses as addresses
        addresses._REMEMBER_SECONDS = 0.0
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]
socket.getaddrinfo = look_up
"""


def test_a_name_that_changes_to_a_forbidden_address_is_not_followed_there(tmp_path: Path) -> None:
    """The server listens on every address of this machine and closes each connection."""
    (tmp_path / "sitecustomize.py").write_text(REBINDING)
    found: Pages = {"/robots.txt": Answer("", headers={"Connection": "close"}), "/p/0": "reached"}
    with serve(found, "0.0.0.0") as site:
        site.url = site.url.replace("0.0.0.0", "rebind.test")
        path = f"{tmp_path}:{os.getcwd()}"
        sets = ("allow_hosts=[]", "allow_networks=[127.0.0.1/32]", "retries=1", "retry_seconds=0.1")
        process = start(site, tmp_path / "crawl", *sets, PYTHONPATH=path)
        _, errors = process.communicate(timeout=30)
    assert "address refused: 127.0.0.2" in errors
    assert process.returncode == 2
    assert site.paths() == ["/robots.txt"]
