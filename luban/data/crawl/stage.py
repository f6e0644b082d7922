"""The stage `crawl`: seeds to WARC files, by a process of its own that can be stopped and goes on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import luban.errors as known
from luban.config import resolved
from luban.data.crawl.frontier import Frontier
from luban.data.crawl.process import REFUSED, STOPPED
from luban.data.crawl.settings import CrawlSettings
from luban.data.crawl.state import FRONTIER
from luban.data.crawl.unchanged import PAGES
from luban.data.extras import load_extra
from luban.errors import ConfigError, DataError, LubanError
from luban.files import write_json, write_jsonl
from luban.log import Log

_STOP_SECONDS = 20.0


def crawl(settings: CrawlSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Fetch what the seeds lead to; `inputs` may hold a file of `seeds` and the folder of a `previous` crawl.

    Writes crawl-*.warc.gz and crawl.jsonl, a line for each address seen with what became of it.
    """
    load_extra("scrapy", "crawl")
    load_extra("warcio", "crawl")
    seeds = [*settings.seeds, *_read_seeds(inputs.get("seeds"))]
    if not seeds:
        raise ConfigError("no address to start from", fix="name one, or a file of them with --seeds")
    previous = inputs.get("previous")
    job = {
        "settings": resolved(settings),
        "seeds": seeds,
        "out": str(out.absolute()),
        "previous": str(previous.absolute()) if previous else "",
        "user_agent": _user_agent(settings, log),
    }
    checkpoints = out / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_json(checkpoints / "job.json", job)
    _run(checkpoints / "job.json", log)
    return _publish(out, checkpoints, log)


def _read_seeds(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (UnicodeDecodeError, IsADirectoryError) as e:
        raise DataError(f"{path} is not a text file: {e}", fix="write one address a line") from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _user_agent(settings: CrawlSettings, log: Log) -> str:
    if settings.user_agent:
        return settings.user_agent
    if not settings.contact:
        log.warn("crawl.contact is empty: site owners cannot reach you; set it to a page or a mailbox")
        return f"Luban/{_version()}"
    return f"Luban/{_version()} (+{settings.contact})"


def _version() -> str:
    try:
        return metadata.version("luban")
    except metadata.PackageNotFoundError:
        return "source"


# The process


def _run(job: Path, log: Log) -> None:
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "luban.data.crawl.process", str(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C reaches this process only, which passes it on once
        )
        try:
            refusal = _follow(child, log)
        except BaseException:
            _stop(child)
            raise
        finally:
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    pipe.close()
        _judge(child.wait(), refusal, errors)


def _follow(child: subprocess.Popen[bytes], log: Log) -> LubanError | None:
    """Report what the process prints until it ends; returns the mistake it names, if it does."""
    refusal = None
    for event in _events(child):
        if "problem" in event:
            refusal = getattr(known, event["kind"], DataError)(event["problem"], fix=event["fix"])
        elif "warning" in event:
            log.warn(event["warning"])
        elif "progress" in event:
            counts = event["progress"]
            log.say("crawl: " + ", ".join(f"{n:,} {state}" for state, n in counts.items()), **counts)
    return refusal


def _events(child: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    for line in child.stdout or ():
        if line.startswith(b"{"):
            yield json.loads(line)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Let the process finish what is under way and save; end it if it does not."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
    try:
        child.wait(_STOP_SECONDS)
    except BaseException:  # too slow, or asked once more
        child.kill()
        child.wait()


def _judge(status: int, refusal: LubanError | None, errors: IO[bytes]) -> None:
    if status == 0:
        return
    if refusal and status == REFUSED:
        raise refusal
    if status == STOPPED:
        raise KeyboardInterrupt
    errors.seek(0)
    tail = errors.read()[-4000:].decode("utf-8", "replace").strip()
    raise RuntimeError(f"the crawling process ended with status {status}\n{tail}")


# The result


def _publish(out: Path, checkpoints: Path, log: Log) -> dict[str, Any]:
    frontier = Frontier(checkpoints / FRONTIER)
    frontier.db.execute("UPDATE urls SET state='skipped', reason='max_pages' WHERE state='queued'")
    reasons = {f"{state}: {reason}": n for (state, reason), n in frontier.counts().items()}
    counts: Counter[str] = Counter(urls=0, fetched=0, skipped=0, failed=0, bytes=0)
    write_jsonl(out / PAGES, _pages(frontier, counts))
    frontier.close()
    if not counts["fetched"]:
        shutil.rmtree(checkpoints)
        for path in [out / PAGES, *out.glob("crawl-*.warc.gz")]:
            path.unlink()
        told = "; ".join(f"{name} ({n})" for name, n in reasons.items())
        raise DataError(f"not one page could be fetched: {told}", fix=_way_out(told))
    shutil.rmtree(checkpoints)
    if counts["failed"]:
        log.warn(f"{counts['failed']:,} addresses failed: see {PAGES}")
    return {"counts": dict(counts), "reasons": reasons, "rejects": counts["failed"]}


def _way_out(told: str) -> str:
    if "address refused" in told:
        return "name hosts of your own network in crawl.allow_hosts, or crawl.allow_networks"
    return "check the addresses, and that this machine reaches them"


def _pages(frontier: Frontier, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    for row in frontier.rows():
        counts["urls"] += 1
        counts[row["state"]] += 1
        counts["bytes"] += row["bytes"] or 0 if row["state"] == "fetched" else 0
        file = None if row["warc"] is None else f"crawl-{row['warc']:05}.warc.gz"
        yield {
            "url": row["url"], "status": row["state"], "reason": row["reason"], "http": row["http"],
            "bytes": row["bytes"], "seconds": row["seconds"], "digest": row["digest"],
            "canonical": row["canonical"], "fetched": row["fetched"], "depth": row["depth"],
            "attempts": row["attempts"], "content_type": row["type"], "charset": row["charset"],
            "etag": row["etag"], "last_modified": row["modified"], "warc": file, "offset": row["offset"],
            "length": row["length"],
        }  # fmt: skip
