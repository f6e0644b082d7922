"""polars for exact duplicates, rensa for signatures in two processes."""

from __future__ import annotations

import re
from multiprocessing import get_context

import polars as pl
from near_bands import arguments, finish
from rensa import RMinHash

WORD = re.compile(r"\w+")
N, PERMUTATIONS = 5, 112


def sign(batch: tuple[list[str], bool]) -> list[list[int]]:
    found = []
    for text in batch[0]:
        words = WORD.findall(text.lower())
        if batch[1]:
            words = list("".join(words))
        sketch = RMinHash(num_perm=PERMUTATIONS, seed=1)
        sketch.update([" ".join(words[i : i + N]) for i in range(max(1, len(words) - N + 1))])
        found.append(sketch.digest())
    return found


def main() -> None:
    folder, out, chinese = arguments()
    table = pl.read_parquet(folder / "documents-*.parquet", columns=["id", "text"])
    same_text = pl.col("text").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    table = table.with_columns(first=pl.col("id").first().over(same_text))
    copies = table.filter(pl.col("id") != pl.col("first"))
    own = table.filter(pl.col("id") == pl.col("first"))
    texts = own["text"].to_list()
    batches = [(texts[i : i + 500], chinese) for i in range(0, len(texts), 500)]
    with get_context("spawn").Pool(2) as pool:
        signatures = [one for part in pool.imap(sign, batches) for one in part]
    same = dict(zip(copies["id"].to_list(), copies["first"].to_list(), strict=True))
    finish(table["id"].to_list(), same, own["id"].to_list(), signatures, out)


if __name__ == "__main__":
    main()
