"""Main text of pages: quality and pages per CPU-second, ours beside trafilatura and resiliparse.

    python benchmarks/extract_peers.py DATA [--articles FOLDER] [--only NAME ...] [--half 0|1] [--out FILE]

DATA holds html_trafilatura (strings that must and must not be there) and html_readability (the text
that should come out); FOLDER is a checkout of scrapinghub/article-extraction-benchmark (html/ and
ground-truth.json), whose score is the overlap of 4-grams of words. A Chinese character is a word.
Rules were chosen on the even pages (`--half 0`) and on other pages of trafilatura's own evaluation; the
odd ones (`--half 1`) tell what they are worth.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unicodedata import normalize

from luban.data.extras import load_extra

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
Extractor = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Page:
    """A page and what is known of its text: the whole of it, or strings of it."""

    name: str
    html: str
    expected: str = ""
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()

    @property
    def chinese(self) -> bool:
        """Whether a fifth of what is known is Chinese characters and no tenth is kana, as in Japanese."""
        text = self.expected or "".join(self.wanted)
        chinese, kana = (len(re.findall(s, text)) for s in ("[\u3400-\u9fff]", "[\u3040-\u30ff]"))
        return chinese > 0.2 * len(text) and kana < 0.1 * len(text)


@dataclass(frozen=True, slots=True)
class Score:
    """Right, too much and missing of one page."""

    right: float
    extra: float
    missing: float

    @property
    def precision(self) -> float:
        """Share of what came out that belongs there."""
        return self.right / (self.right + self.extra) if self.right + self.extra else float(not self.missing)

    @property
    def recall(self) -> float:
        """Share of what belongs there that came out."""
        return self.right / (self.right + self.missing) if self.right + self.missing else 1.0


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as f:
        yield from map(json.loads, f)


def trafilatura_pages(data: Path) -> list[Page]:
    path = data / "html_trafilatura" / "data.jsonl.gz"
    return [
        Page(r["file"], r["html"], wanted=tuple(r["with"]), unwanted=tuple(r["without"])) for r in rows(path)
    ]


def readability_pages(data: Path) -> list[Page]:
    path = data / "html_readability" / "data.jsonl.gz"
    return [Page(r["id"], r["html"], expected=r["expected_text"]) for r in rows(path)]


def article_pages(folder: Path) -> list[Page]:
    truth = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    return [
        Page(
            key,
            gzip.decompress((folder / "html" / f"{key}.html.gz").read_bytes()).decode(),
            row["articleBody"],
        )
        for key, row in truth.items()
    ]


def by_strings(page: Page, text: str) -> Score:
    flat = spaced(text)
    found = sum(spaced(s) in flat for s in page.wanted)
    return Score(found, sum(spaced(s) in flat for s in page.unwanted), len(page.wanted) - found)


def spaced(text: str) -> str:
    """Return the text in NFC with single spaces, which is no matter of extraction."""
    return " ".join(normalize("NFC", text).split())


def by_tokens(page: Page, text: str, n: int = 1) -> Score:
    ours, theirs = grams(text, n), grams(page.expected, n)
    right = (ours & theirs).total()
    return Score(right, ours.total() - right, theirs.total() - right)


def by_shingles(page: Page, text: str) -> Score:
    score = by_tokens(page, text, 4)
    total = score.right + score.extra + score.missing
    return Score(score.right / total, score.extra / total, score.missing / total) if total else Score(0, 0, 0)


def grams(text: str, n: int) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(normalize("NFC", text))
    return Counter(tuple(words[i : i + n]) for i in range(max(len(words) - n + 1, min(len(words), 1))))


def pooled(scores: list[Score]) -> Score:
    return Score(*(sum(getattr(s, name) for s in scores) for name in ("right", "extra", "missing")))


def averages(scores: list[Score], pool: bool) -> dict[str, float]:
    """Strings are counted over all pages, as trafilatura does; texts are averaged over pages."""
    whole = pooled(scores)
    p = whole.precision if pool else statistics.mean(s.precision for s in scores)
    r = whole.recall if pool else statistics.mean(s.recall for s in scores)
    return {
        "precision": round(p, 4),
        "recall": round(r, 4),
        "f1": round(2 * p * r / (p + r), 4) if p + r else 0,
    }


def extractors() -> dict[str, Extractor]:
    from resiliparse.extract.html2text import extract_plain_text

    from luban.data.extract import extract_bulk, extract_main_text

    trafilatura = load_extra("trafilatura")

    def peer(**options: bool) -> Extractor:
        return lambda html: trafilatura.extract(html, include_comments=False, **options) or ""

    return {
        "luban precise": lambda html: extract_main_text(html) or "",
        "luban bulk": lambda html: extract_bulk(html) or "",
        "trafilatura fast": peer(fast=True),
        "trafilatura default": peer(),
        "trafilatura favor_recall": peer(favor_recall=True),
        "trafilatura favor_precision": peer(favor_precision=True),
        "resiliparse main_content": lambda html: extract_plain_text(html, main_content=True),
    }


def measure(
    extract: Extractor, pages: list[Page], score: Callable[[Page, str], Score]
) -> tuple[list[Score], float]:
    seconds, scores = 0.0, []
    for page in pages:
        start = time.process_time()
        text = extract(page.html)
        seconds += time.process_time() - start
        scores.append(score(page, text))
    return scores, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--articles", type=Path)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--half", type=int, choices=[0, 1])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    sets: list[tuple[str, list[Page], Callable[[Page, str], Score]]] = [
        ("trafilatura strings", trafilatura_pages(args.data), by_strings),
        ("readability texts", readability_pages(args.data), by_tokens),
    ]
    if args.articles:
        sets.append(("article benchmark", article_pages(args.articles), by_shingles))
    lines = []
    for name, extract in extractors().items():
        if args.only and not any(part in name for part in args.only):
            continue
        extract("<p>A page that loads what is loaded late.</p>" * 9)
        for title, pages, score in sets:
            chosen = pages if args.half is None else pages[args.half :: 2]
            for part, some in (("", chosen), (" (Chinese)", [p for p in chosen if p.chinese])):
                if not some or len(some) == len(chosen) and part:
                    continue
                scores, seconds = measure(extract, some, score)
                row = {"extractor": name, "set": title + part, "pages": len(some)}
                row |= averages(scores, score is by_strings)
                row["pages_per_cpu_second"] = round(len(some) / seconds, 1)
                lines.append(row)
                print(json.dumps(row), flush=True)
    packages = {p: version(p) for p in ("trafilatura", "resiliparse", "lxml")}
    if args.out:
        args.out.write_text(json.dumps({"packages": packages, "rows": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
