"""Published rules of quality over a file of documents: native counts, their plain Python twin, datatrove.

    python benchmarks/filter_peers.py texts.jsonl
    python benchmarks/filter_peers.py texts_zh.jsonl --language zh --rules chinese
    python benchmarks/filter_peers.py texts.jsonl --peer ENV/bin/python --peer-mb 2

The file has a `text` a line; time is that of the CPU, from the file to the decisions, in turns. `same` says
whether the two of ours keep the same documents with the same texts, and drop the others for the same reasons.
datatrove (in ENV, with xxhash<4) applies its Gopher and C4 filters to the first megabytes; `agree` is the
share of documents that both keep or both drop. Its words are those of a tokenizer, and its C4 needs 5
sentences and 3 words a line. One JSON line a side.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from luban.data.quality import measure
from luban.data.quality.characters import character_classes
from luban.data.quality.rules import RULES
from luban.data.settings import C4Settings, CleanSettings
from luban.native import build
from luban.records import Document, Drop

SIDE = Path(__file__).parent / "peers" / "datatrove_side.py"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--language", default="en")
    parser.add_argument("--rules", default="gopher,c4")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--plain-mb", type=float, default=5, help="megabytes for the twin, which is slow")
    parser.add_argument("--peer", default="", help="interpreter with datatrove")
    parser.add_argument("--peer-mb", type=float, default=1)
    asked = parser.parse_args()
    settings = CleanSettings(c4=C4Settings(min_line_words=3, min_sentences=5))
    steps = [RULES[name](settings) for name in asked.rules.split(",")]
    build.is_available()  # built and loaded before the clock starts
    character_classes()
    times: dict[str, list[float]] = {"native": [], "plain": []}
    for _ in range(asked.rounds):
        for side, mb in (("native", asked.plain_mb), ("plain", asked.plain_mb)):
            seconds, megabytes, decisions = timed(asked.file, asked.language, steps, mb, side)
            times[side].append(megabytes / seconds)
            times[f"decisions {side}"] = decisions
    seconds, megabytes, decisions = timed(asked.file, asked.language, steps, 1e9, "native")
    kept = [d for d in decisions if not isinstance(d, Drop)]
    whole = {"megabytes": round(megabytes, 1), "documents": len(decisions), "kept": len(kept)}
    show("luban", [megabytes / seconds], **whole)
    show("luban, part", times["native"])
    show("plain twin, part", times["plain"], same=times["decisions native"] == times["decisions plain"])
    if asked.peer:
        against(asked.peer, asked.file, asked.peer_mb, decisions)


def timed(
    file: Path, language: str, steps: list, mb: float, side: str
) -> tuple[float, float, list[Drop | str]]:
    """Return CPU seconds, megabytes of text, and for each document its text or why it is dropped."""
    measure.measure.cache_clear()
    with mock.patch.object(measure, "is_available", return_value=side == "native"):
        started = time.process_time()
        decisions, size = [], 0
        for text in texts(file, mb):
            size += len(text.encode("utf-8", "surrogatepass"))
            result: Document | Drop = Document("", text, "", language=language)
            for step in steps:
                result = step(result)
                if isinstance(result, Drop):
                    break
            decisions.append(result if isinstance(result, Drop) else result.text)
        return time.process_time() - started, size / 1e6, decisions


def texts(file: Path, mb: float) -> Iterator[str]:
    size = 0
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            text = json.loads(line)["text"]
            size += len(text.encode("utf-8", "surrogatepass"))
            if size > mb * 1e6:
                return
            yield text


def against(python: str, file: Path, mb: float, decisions: list[Drop | str]) -> None:
    run = subprocess.run([python, str(SIDE), str(file), str(mb)], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"datatrove failed: {run.stderr[-500:]}")
    said = json.loads(run.stdout.splitlines()[-1])
    for name, side in said.items():
        pairs = [(kept, not isinstance(d, Drop)) for kept, d in zip(side["kept"], decisions, strict=False)]
        both = {f"{a}/{b}": sum(p == (a, b) for p in pairs) for a in (True, False) for b in (True, False)}
        agree = sum(a == b for a, b in pairs) / len(pairs)
        show(name, [side["megabytes"] / side["seconds"]], agree=round(agree, 4), theirs_ours=both)


def show(name: str, speeds: list[float], **more: object) -> None:
    print(json.dumps({"side": name, "mb_per_cpu_second": [round(s, 2) for s in speeds], **more}))


if __name__ == "__main__":
    main()
