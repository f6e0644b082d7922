"""Our crawl beside bare Scrapy on a site of 2,000 pages on this machine: pages and CPU seconds.

    python benchmarks/crawl_peers.py [--pages 2000] [--rounds 2] [--only scrapy|luban]

Bare Scrapy follows links with its own defaults at the same concurrency and writes nothing; ours reads
robots.txt, keeps a frontier, looks for duplicates and writes WARC. Each run is a process of its own, in the
order A B A B; seconds go from the first request that the server sees to the last; CPU seconds hold the start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

CONCURRENCY = 16
PAGE_BYTES = 8_000
LINKS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=("scrapy", "luban"))
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        bare_scrapy(arguments.bare)
        return
    runs = {"scrapy": run_scrapy, "luban": run_luban}
    names = [arguments.only] if arguments.only else list(runs)
    for turn in range(arguments.rounds):
        for name in names:
            row = measure(runs[name], arguments.pages)
            print(json.dumps({"round": turn, "crawler": name, **row}), flush=True)


def measure(run: object, n_pages: int) -> dict[str, float]:
    """Serve the site, run one crawler, and return what it took."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=serve, args=(n_pages, theirs), daemon=True)
    server.start()
    port = ours.recv()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(f"http://127.0.0.1:{port}/page/0", n_pages)  # type: ignore[operator]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    ours.send("report")
    n_served, seconds, n_distinct = ours.recv()
    server.terminate()
    server.join()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "requests": n_served,
        "distinct": n_distinct,
        "seconds": round(seconds, 2),
        "pages_per_second": round(n_served / seconds, 1),
        "cpu_seconds_with_start": round(cpu, 2),
    }


def page(number: int, n_pages: int) -> bytes:
    """Return a page of paragraphs with links to others; page 0 leads to every page in the end."""
    draw = random.Random(number)
    targets = [(2 * number + 1) % n_pages, (2 * number + 2) % n_pages]
    targets += [draw.randrange(n_pages) for _ in range(LINKS - 2)]
    words = ("river", "stone", "paper", "light", "ground", "measure", "north", "silver", "market", "winter")
    parts = []
    for target in targets:
        text = " ".join(draw.choice(words) for _ in range(PAGE_BYTES // LINKS // 7))
        parts.append(f'<p>{text} <a href="/page/{target}">page {target}</a></p>\n')
    return f"<html><head><title>Page {number}</title></head><body>\n{''.join(parts)}</body></html>".encode()


def serve(n_pages: int, pipe: Connection) -> None:
    """Answer GET from memory, and report (requests, seconds from first to last, distinct paths)."""
    bodies = [page(i, n_pages) for i in range(n_pages)]
    times: list[float] = []
    seen: set[bytes] = set()

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport, self.waiting = transport, b""

        def data_received(self, data: bytes) -> None:
            self.waiting += data
            while b"\r\n\r\n" in self.waiting:
                head, _, self.waiting = self.waiting.partition(b"\r\n\r\n")
                path = head.split(b" ", 2)[1]
                if path.startswith(b"/page/"):
                    times.append(time.perf_counter())
                    seen.add(path)
                    self.answer(b"200 OK", bodies[int(path[6:])])
                else:
                    self.answer(b"404 Not Found", b"")

        def answer(self, status: bytes, body: bytes) -> None:
            head = b"HTTP/1.1 %s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
            self.transport.write(head % (status, len(body)) + body)  # type: ignore[attr-defined]

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        while not pipe.poll():
            await asyncio.sleep(0.1)
        pipe.send((len(times), times[-1] - times[0] if times else 0.0, len(seen)))
        await asyncio.sleep(10)

    asyncio.run(run())


def run_scrapy(url: str, n_pages: int) -> None:
    subprocess.run([sys.executable, __file__, "--bare", url], check=True)


def run_luban(url: str, n_pages: int) -> None:
    out = Path(tempfile.mkdtemp()) / "crawl"
    sets = (
        "delay=0",
        f"concurrency={CONCURRENCY}",
        f"concurrency_per_host={CONCURRENCY}",
        "allow_hosts=[127.0.0.1]",
    )
    command = [sys.executable, "-m", "luban.cli", "data", "crawl", url, "--out", str(out), "--json"]
    command += [word for s in sets for word in ("--set", f"crawl.{s}")]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=here)
    counts = json.loads(done.stdout.splitlines()[-1])["counts"]
    assert counts["fetched"] == n_pages, counts
    shutil.rmtree(out.parent)


def bare_scrapy(url: str) -> None:
    """Follow links with Scrapy's defaults, robots.txt and its console aside, and keep nothing."""
    from scrapy import Spider
    from scrapy.crawler import AsyncCrawlerProcess

    class Bare(Spider):
        name = "bare"
        start_urls = (url,)

        def parse(self, response):  # type: ignore[no-untyped-def]
            yield from response.follow_all(css="a::attr(href)", callback=self.parse)

    settings = {
        "LOG_LEVEL": "ERROR",
        "TELNETCONSOLE_ENABLED": False,
        "ROBOTSTXT_OBEY": False,
        "CONCURRENT_REQUESTS": CONCURRENCY,
        "CONCURRENT_REQUESTS_PER_DOMAIN": CONCURRENCY,
        "DOWNLOAD_DELAY": 0,
    }
    process = AsyncCrawlerProcess(settings)
    process.crawl(Bare)
    process.start()


if __name__ == "__main__":
    main()
