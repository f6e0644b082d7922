"""Accuracy and speed of language identification: ours with each model, the models alone, and lingua.

    python benchmarks/language_id.py labelled.jsonl.gz
    python benchmarks/language_id.py labelled.jsonl.gz --texts texts.jsonl --lingua ENV/bin/python

The labelled file has rows {text, label (ISO 639-1), kind}; `worst` are the languages with the lowest
accuracy, over all kinds. Documents per CPU-second are of the labelled rows, which are short, and of --texts.
lingua runs in an environment of its own. One JSON line a side.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

Guess = Callable[[str], str]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--texts", type=Path, help="documents, rows {text}")
    parser.add_argument("--lingua", default="", help="interpreter with lingua-language-detector")
    parser.add_argument("--sides", default="ours,ours with fasttext,py3langid,fasttext")
    asked = parser.parse_args()
    rows = read(asked.labelled)
    texts = [row["text"] for row in read(asked.texts)][:500] if asked.texts else []
    for name in asked.sides.split(","):
        print(json.dumps(measured(name, GUESSES[name](), rows, texts)), flush=True)
    if asked.lingua:
        command = [asked.lingua, __file__, str(asked.labelled), "--sides", "lingua low,lingua high"]
        command += ["--texts", str(asked.texts)] if asked.texts else []
        sys.exit(subprocess.run(command).returncode)


def read(path: Path) -> list[dict]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return [json.loads(line) for line in text.split("\n") if line]


def measured(name: str, guess: Guess, rows: list[dict], texts: list[str]) -> dict:
    guess(rows[0]["text"])
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    started = time.process_time()
    for row in rows:
        is_right = guess(row["text"]) == row["label"]
        for key in (row["kind"], row["label"], "all"):
            total[key] += 1
            right[key] += is_right
    seconds = time.process_time() - started
    languages = sorted({row["label"] for row in rows}, key=lambda key: right[key] / total[key])
    kinds = dict.fromkeys(row["kind"] for row in rows)
    told = {
        "side": name,
        **{key: round(right[key] / total[key], 4) for key in (*kinds, "all")},
        "worst": {key: round(right[key] / total[key], 2) for key in languages[:8]},
        "en": round(right["en"] / max(1, total["en"]), 3),
        "zh": round(right["zh"] / max(1, total["zh"]), 3),
        "short_per_cpu_second": round(len(rows) / seconds),
    }
    if texts:
        started = time.process_time()
        for text in texts:
            guess(text)
        told["documents_per_cpu_second"] = round(len(texts) / (time.process_time() - started))
    return told


def ours(model: str) -> Guess:
    from luban.data.language import identify_language

    return lambda text: identify_language(text, model).code


def py3langid() -> Guess:
    import py3langid

    return lambda text: next(code for code, _ in py3langid.rank(text[:600]) if len(code) == 2)


def fasttext() -> Guess:
    from luban.data.language import _fasttext

    model = _fasttext()
    return lambda text: model.predict(" ".join(text[:600].split()), k=1)[0][0].removeprefix("__label__")


def lingua(low: bool) -> Guess:
    from lingua import LanguageDetectorBuilder

    builder = LanguageDetectorBuilder.from_all_languages()
    detector = (builder.with_low_accuracy_mode() if low else builder).build()

    def guess(text: str) -> str:
        found = detector.detect_language_of(text[:600])
        return found.iso_code_639_1.name.lower() if found else "und"

    return guess


GUESSES: dict[str, Callable[[], Guess]] = {
    "ours": lambda: ours("langid"),
    "ours with fasttext": lambda: ours("fasttext"),
    "py3langid": py3langid,
    "fasttext": fasttext,
    "lingua low": lambda: lingua(True),
    "lingua high": lambda: lingua(False),
}


if __name__ == "__main__":
    main()
