"""Chinese questions for a model from scratch: one set parted by title, others added to its training part.

    python benchmarks/qa_zh_rows.py cmrc2018.jsonl.gz --more drcd.jsonl.gz --out rows.jsonl

A tenth of the first file's titles validates and a tenth tests. Everything is written in simplified
characters. A training row whose context shares 13 characters in a row with a held-out context, or whose
title is a held-out one, is left out; the counts are printed.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from luban.data.chinese_script import convert_chinese
from luban.files import write_jsonl
from luban.tasks.qa_parts import read_questions
from luban.tasks.qa_rows import Asked, Questions, read_rows_of
from luban.tasks.qa_settings import QaColumns

SHARED = 13
"""Characters in a row that two contexts must not share."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--more", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    questions = read_questions(asked.data, QaColumns())
    held_out = [*questions.validation, *questions.test]
    runs = set().union(*(runs_of(row.context) for row in held_out))
    titles = {letters(row.title) for row in held_out if row.title}
    counts: Counter[str] = Counter()
    rows = [plain(row, part) for part in ("validation", "test") for row in questions.part(part)]
    counts.update(row["split"] for row in rows)
    training = [(asked.data, questions.train)]
    training += [(path, read_rows_of(path, QaColumns(), Questions())) for path in asked.more]
    for path, found in training:
        for row in found:
            leaks = bool(runs_of(row.context) & runs) or letters(row.title) in titles
            counts[f"{path.parent.name}: {'left out' if leaks else 'train'}"] += 1
            if not leaks:
                rows.append(plain(row, "train", path.parent.name))
    write_jsonl(asked.out, rows)
    print(json.dumps(counts, ensure_ascii=False))


def letters(text: str) -> str:
    """Return letters, digits and characters alone, in simplified script."""
    return convert_chinese("".join(c for c in text if c.isalnum()), "simplified")


def runs_of(text: str) -> set[str]:
    """Return every run of `SHARED` letters."""
    plain = letters(text)
    return {plain[i : i + SHARED] for i in range(len(plain) - SHARED + 1)}


def plain(row: Asked, part: str, origin: str = "") -> dict[str, object]:
    """Return a row in simplified script; its reader finds an answer again that moved."""
    simple = [convert_chinese(text, "simplified") for text in (row.context, row.question, *row.texts)]
    context, question, *texts = simple
    starts = [start for start, _ in row.spans] + [-1] * (len(texts) - len(row.spans))
    return {
        "id": f"{origin}-{row.id}" if origin else row.id,
        "title": row.title,
        "context": context,
        "question": question,
        "answers": {"text": texts, "answer_start": starts},
        "split": part,
    }


if __name__ == "__main__":
    main()
