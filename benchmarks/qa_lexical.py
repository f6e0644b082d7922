"""The floor that a question-answering model must beat: spans chosen by the words around them.

    python benchmarks/qa_lexical.py rows.jsonl.gz [--split test]

A sliding window in the manner of Richardson et al. 2013 (MCTest, section 4.1), as Rajpurkar et al. 2016
took it for spans (arXiv:1606.05250, section 5.2): candidates are the runs between punctuation and words
of the question; a candidate's score is the sum, over question words in a window around it as long as the
question, of log(1 + 1 / count in the text). Chinese is taken character by character. Nothing is learnt.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from luban.evaluate.intervals import Plan
from luban.tasks.qa_metrics import definition, language_of
from luban.tasks.qa_rows import Asked, Questions, read_rows_of
from luban.tasks.qa_score import scored
from luban.tasks.qa_settings import QaColumns

UNIT = re.compile("[\u3400-\u9fff]|[^\\W_\u3400-\u9fff]+|[^\\w\\s]|_")
LONGEST = 12
"""Longest candidate in words or Chinese characters."""
STOPPED = frozenset(
    "的 了 是 在 什 么 哪 谁 何 多 少 几 吗 呢 the a an of to in is was what who which when".split()
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", help="only rows of this part: train, validation or test")
    asked = parser.parse_args()
    rows = [r for r in read_rows_of(asked.data, QaColumns(), Questions()) if asked.split in (None, r.part)]
    how = definition(language_of(row.question for row in rows))
    found = scored([answer(row) for row in rows], rows, Plan())
    print(json.dumps({"rows": len(rows), "definition": how.name, **found}))


def answer(row: Asked) -> str:
    """Return the span whose surroundings share the rarest words with the question."""
    units = [(m.group().lower(), m.start(), m.end()) for m in UNIT.finditer(row.context)]
    words = [unit for unit, _, _ in units]
    question = {m.group().lower() for m in UNIT.finditer(row.question)} - STOPPED
    count = Counter(words)
    weight = [math.log(1 + 1 / count[w]) if w in question and w.isalnum() else 0.0 for w in words]
    reach = max(2, len(question))
    best = max(candidates(words, question), key=lambda span: (around(weight, span, reach), span[0] - span[1]))
    return row.context[units[best[0]][1] : units[best[1] - 1][2]] if units else ""


def candidates(words: Sequence[str], question: set[str]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of runs without punctuation and words of the question; of long runs, both ends."""
    start = 0
    yield 0, min(1, len(words))
    for i, word in enumerate([*words, "."]):
        if word not in question and word.isalnum():
            continue
        if i - start > LONGEST:
            yield start, start + LONGEST
            yield i - LONGEST, i
        elif i > start:
            yield start, i
        start = i + 1


def around(weight: Sequence[float], span: tuple[int, int], reach: int) -> float:
    """Return the weights of the words near a span, on both sides."""
    start, end = span
    return sum(weight[max(0, start - reach) : start]) + sum(weight[end : end + reach])


if __name__ == "__main__":
    main()
