"""A corpus with planted near-duplicates, made of real text on this machine, and what is true of it."""

from __future__ import annotations

import gzip
import json
import random
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from luban.data.documents import write_documents

RATES = (0.0, 0.003, 0.01, 0.015, 0.02, 0.025, 0.03, 0.05, 0.1)
"""Share of words, or characters in Chinese, that a planted copy changes."""
SUFFIXES = (".txt", ".md", ".rst", ".py", ".h", ".html", ".gz", ".jsonl")
CHARS = (600, 12_000)
ORIGINAL = 0.8  # share of the text that is not planted, where there is enough of it
PLANTED = "planted.jsonl"

_TOKEN = re.compile(r"\w+|\W+")
_WORD = re.compile(r"\w+")
_HAN = re.compile("[\u4e00-\u9fff]")
_MARKUP = re.compile(r"<[^>]*>|^[.'][A-Za-z\\][^ \n]* ?|\\f[BIRP]|\\-", re.M)


def make_corpus(folder: Path, sources: Sequence[Path], megabytes: float, *, chinese: bool) -> None:
    """Write a documents folder of that size in random order, and which documents are copies of which."""
    rng = random.Random(7)
    folder.mkdir(parents=True)
    wanted = 1e6 * megabytes
    texts = list(_until(ORIGINAL * wanted, _passages(sources, rng, chinese=chinese)))
    n, size = len(texts), sum(map(_size, texts))
    origins = list(range(n))
    while size < wanted:
        origins.append(rng.randrange(n))
        texts.append(edited(texts[origins[-1]], rng.choice(RATES), rng, chinese=chinese))
        size += _size(texts[-1])
    with (folder / PLANTED).open("w") as truth:
        for i in range(n, len(texts)):
            similar = jaccard(texts[origins[i]], texts[i], chinese=chinese)
            print(json.dumps([f"d{origins[i]}", f"d{i}", round(similar, 4)]), file=truth)
    order = list(range(len(texts)))
    rng.shuffle(order)
    fixed = {"source": "corpus", "licence": "unknown", "language": "zh" if chinese else "en"}
    write_documents(folder, ({"id": f"d{i}", "text": texts[i], **fixed} for i in order))


def edited(text: str, rate: float, rng: random.Random, *, chinese: bool) -> str:
    """Replace, drop or double words (in Chinese, characters) at random."""
    tokens = list(text) if chinese else _TOKEN.findall(text)
    for at in range(len(tokens)):
        if _WORD.match(tokens[at]) and rng.random() < rate:
            other = tokens[rng.randrange(len(tokens))]
            tokens[at] = rng.choice((other, "", tokens[at] + " " * (not chinese) + other))
    return "".join(tokens)


def jaccard(one: str, other: str, *, chinese: bool, n: int = 5) -> float:
    """Return the similarity of the sets of n-grams of words, or of characters in Chinese."""
    a, b = (ngrams(text, n, chinese=chinese) for text in (one, other))
    return len(a & b) / len(a | b)


def ngrams(text: str, n: int, *, chinese: bool) -> set[int]:
    """Return the hashes of a text's n-grams."""
    units = _WORD.findall(text.lower())
    if chinese:
        units = list("".join(units))
    return {hash(tuple(units[i : i + n])) for i in range(max(1, len(units) - n + 1))}


def _until(wanted: float, texts: Iterable[str]) -> Iterator[str]:
    size = 0
    for text in texts:
        if size >= wanted:
            return
        size += _size(text)
        yield text


def _passages(sources: Sequence[Path], rng: random.Random, *, chinese: bool) -> Iterator[str]:
    paths = sorted(p for root in sources for p in ([root] if root.is_file() else root.rglob("*")))
    rng.shuffle(paths)
    for path in paths:
        if path.suffix in SUFFIXES and path.is_file() and not path.is_symlink():
            text = _MARKUP.sub("", _read(path))
            while len(text) >= CHARS[0]:
                cut = int(rng.uniform(CHARS[0] / 3, CHARS[1] / 6) if chinese else rng.uniform(*CHARS))
                if not chinese or 2 * len(_HAN.findall(text[:cut])) > cut:  # else it is cut into words
                    yield text[:cut]
                text = text[cut:]


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    except (OSError, ValueError, EOFError, zlib.error):
        return ""
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return "\n\n".join(json.loads(line).get("text", "") for line in text.splitlines())
    return text


def _size(text: str) -> int:
    return len(text.encode())
