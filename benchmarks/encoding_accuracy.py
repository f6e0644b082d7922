"""How often text in an old encoding is read right, beside charset-normalizer.

Each text is cut to several lengths, encoded, and read back with nothing told; right is what equals the
text. Both sides see the same bytes.

    python benchmarks/encoding_accuracy.py gb18030,utf-16-le=chinese.jsonl.gz cp1252,utf-8=german.jsonl.gz

An argument names encodings and a file of rows with a text (`text`, `sentence`, `context`, `de`).
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from luban.data.encoding import Unreadable, text_blocks

LENGTHS = (8, 20, 60, 400)
TEXTS = 100
FIELDS = ("text", "sentence", "context", "target", "tgt", "de")


def main() -> None:
    import charset_normalizer

    def peer(data: bytes) -> str:
        best = charset_normalizer.from_bytes(data).best()
        return str(best) if best else ""

    sides: dict[str, Callable[[bytes], str]] = {"luban": ours, "charset-normalizer": peer}
    for argument in sys.argv[1:]:
        names, _, path = argument.partition("=")
        texts = list(dict.fromkeys(read_texts(Path(path))))
        for name in names.split(","):
            for length in LENGTHS:
                samples = list(samples_of(texts, name, length))
                row = {"file": Path(path).parent.name, "encoding": name, "length": length, "n": len(samples)}
                print(json.dumps({**row, **{side: score(read, samples) for side, read in sides.items()}}))


def ours(data: bytes) -> str:
    try:
        return "".join(text_blocks(io.BytesIO(data)))
    except Unreadable:
        return ""


def read_texts(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            text = next((row[name] for name in FIELDS if isinstance(row.get(name), str)), "")
            if text and not text.isascii():
                yield text


def samples_of(texts: list[str], name: str, length: int) -> Iterator[tuple[str, bytes]]:
    """Yield texts of a length with their bytes; characters that the encoding lacks are left out."""
    joined = "\n".join(texts)
    step = max(1, (len(joined) - length) // TEXTS)
    for start in range(0, len(joined) - length, step):
        data = joined[start : start + length].encode(name, "ignore")
        text = data.decode(name)
        if not text.isascii() and text.strip():
            yield text, data


def score(read: Callable[[bytes], str], samples: list[tuple[str, bytes]]) -> dict[str, float]:
    start = time.process_time()
    right = sum(read(data).lstrip("\ufeff") == text for text, data in samples)
    seconds = time.process_time() - start
    n = max(len(samples), 1)
    return {"right": round(right / n, 3), "ms_each": round(1000 * seconds / n, 2)}


if __name__ == "__main__":
    main()
