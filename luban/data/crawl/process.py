"""The process that crawls: `python -m luban.data.crawl.process JOB`, told by signals and stdin when to stop.

Scrapy's reactor can run only once in a process, so a crawl has one of its own. It prints JSON lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luban.config import Tree, fill
from luban.data.crawl.addresses import Guard, Resolver, twisted_resolver
from luban.data.crawl.fetch import Fetcher
from luban.data.crawl.loop import Loop
from luban.data.crawl.settings import CrawlSettings
from luban.data.crawl.state import Crawl
from luban.data.crawl.unchanged import load_previous
from luban.errors import BusyError, CheckpointError, LubanError
from luban.files import disk_errors, locked, read_json

STOPPED = 130
REFUSED = 2
_DRAIN_SECONDS = 10.0
_HURRY_SECONDS = 0.2
_NOTHING: tuple[Any, ...] = ()
_WAIT_SECONDS = 15.0
"""For a process that was left alone and is about to end."""


def main(job_path: Path) -> int:
    """Crawl as the job file says; returns the exit status."""
    job = read_json(job_path)
    out = Path(job["out"])
    try:
        with contextlib.ExitStack() as stack:
            _lock(stack, out)
            stack.enter_context(disk_errors(out))
            stack.enter_context(_frontier_errors(out))
            return _crawl(job, out)
    except LubanError as e:
        _tell({"problem": e.problem, "fix": e.fix, "kind": type(e).__name__})
        return REFUSED


def _lock(stack: contextlib.ExitStack, out: Path) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            stack.enter_context(locked(out / "checkpoints" / "crawling", naming=out))
            return
        except BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def _frontier_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as e:
        if "full" in str(e):
            raise OSError(errno.ENOSPC, str(e)) from e
        if "disk I/O" in str(e):
            raise OSError(errno.EIO, str(e)) from e
        raise
    except sqlite3.DatabaseError as e:
        raise CheckpointError(
            f"the frontier in {out / 'checkpoints'} is damaged: {e}", fix=f"remove {out} and crawl again"
        ) from e


def _crawl(job: dict[str, Any], out: Path) -> int:
    settings = fill(CrawlSettings, Tree(job["settings"]), "crawl")
    guard = Guard.of([*settings.allow_hosts, *_proxy_host(settings)], settings.allow_networks)
    resolver = Resolver(guard)
    crawl = Crawl(settings, tuple(job["seeds"]), out, job["user_agent"])
    if job["previous"]:
        load_previous(crawl.frontier, Path(job["previous"]))
        crawl.has_previous = True
    ended = _run(crawl, resolver)
    crawl.writer.close()
    crawl.frontier.close()
    return ended


def _proxy_host(settings: CrawlSettings) -> list[str]:
    from urllib.parse import urlsplit

    return [urlsplit(settings.proxy).hostname or ""] if settings.proxy else []


def _run(crawl: Crawl, resolver: Resolver) -> int:
    """Run Scrapy with a spider whose start is the whole crawl."""
    from scrapy import Spider
    from scrapy.crawler import AsyncCrawlerProcess

    ended: list[int | BaseException] = []

    class Start(Spider):
        name = "luban"

        async def start(self) -> Any:
            loop = Loop(crawl, Fetcher(self.crawler, crawl.settings, resolver, crawl.user_agent), _tell)
            _listen(loop)
            try:
                await loop.run()
                ended.append(STOPPED if loop.is_stopping else 0)
            except BaseException as e:
                ended.append(e)
            for nothing in _NOTHING:  # what makes it the generator that Scrapy wants
                yield nothing

    process = AsyncCrawlerProcess(_scrapy_settings(crawl.settings, resolver), install_root_handler=False)
    process.crawl(Start)
    process.start(install_signal_handlers=False)
    if not ended:
        raise RuntimeError("Scrapy ended before the crawl began")
    if isinstance(ended[0], BaseException):
        raise ended[0]
    return ended[0]


def _listen(loop: Loop) -> None:
    """Stop in good order on a signal; at once when the process that started this one is gone."""
    events = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        events.add_signal_handler(number, loop.stop, _DRAIN_SECONDS)

    def on_input() -> None:
        if not os.read(0, 4096):
            events.remove_reader(0)
            loop.stop(_HURRY_SECONDS)

    events.add_reader(0, on_input)


def _scrapy_settings(settings: CrawlSettings, resolver: Resolver) -> dict[str, Any]:
    """Turn off everything of Scrapy's but its downloader."""
    from luban.data.crawl.downloader import BoundedDownloadHandler as http

    return {
        "TWISTED_REACTOR": "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
        "TWISTED_DNS_RESOLVER": twisted_resolver(resolver),
        "LOG_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "EXTENSIONS_BASE": {},
        "DOWNLOADER_MIDDLEWARES_BASE": {},
        "SPIDER_MIDDLEWARES_BASE": {},
        "ITEM_PIPELINES": {},
        "COOKIES_ENABLED": False,
        "STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector",
        "DOWNLOAD_HANDLERS_BASE": {"http": http, "https": http},
        "CONCURRENT_REQUESTS": 0,
        "CONCURRENT_REQUESTS_PER_DOMAIN": settings.concurrency_per_host,
        "REACTOR_THREADPOOL_MAXSIZE": min(64, max(10, settings.concurrency)),  # look-ups of names
        "DOWNLOAD_DELAY": 0,
        "DOWNLOAD_MAXSIZE": settings.max_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_FAIL_ON_DATALOSS": True,
        "DOWNLOAD_VERIFY_CERTIFICATES": settings.verify_certificates,
    }


def _tell(event: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(event, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
