"""Find personal data beside Presidio's pattern recognisers: the same texts, the same scorer, one run.

    python benchmarks/pii_peers.py --peer ENV/bin/python --english rows.jsonl.gz --clean texts.jsonl.gz ...

--english: rows {"text", "spans": [{"start", "end", "type"}], "template_id"}, such as presidio-research's
synthetic set; only odd templates are scored, since even ones were looked at while the rules were written.
Chinese sentences are drawn from templates kept for reporting (tests/privacy/chinese.py). A find is right
where its type is and it shares half of its union with the span. The peer is given its best threshold.
--clean: texts without known personal data, for speed in MB per CPU-second and finds per MB.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from luban.privacy.pii import MORE_TYPES, TYPES, find_personal_data
from tests.privacy.chinese import REPORTING, sentences

Found = tuple[int, int, str]
Gold = list[list[Found]]

ENGLISH = {
    "CREDIT_CARD": "bank_card",
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "US_SSN": "ssn",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "DOMAIN_NAME": "url",
    "US_DRIVER_LICENSE": "driving_licence",
    "ZIP_CODE": "postcode",
    "AGE": "age",
    "DATE_TIME": "date",
    "PERSON": "person",
    "STREET_ADDRESS": "address",
}
PEER = {
    "CREDIT_CARD": "bank_card",
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "US_SSN": "ssn",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "URL": "url",
    "US_DRIVER_LICENSE": "driving_licence",
    "DATE_TIME": "date",
    "US_PASSPORT": "passport",
    "UK_PASSPORT": "passport",
    "MAC_ADDRESS": "mac",
    "CRYPTO": "wallet",
}
THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6)
PEER_BYTES = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", help="interpreter with presidio-analyzer")
    parser.add_argument("--english", type=Path, help="labelled rows, jsonl.gz")
    parser.add_argument("--parity", type=int, default=1, help="score templates with this remainder by 2")
    parser.add_argument("--clean", type=Path, nargs="*", default=[], help="clean texts, jsonl.gz or txt.gz")
    parser.add_argument("--seed", type=int, default=2026, help="draws the Chinese sentences")
    asked = parser.parse_args()
    if asked.english:
        compare("English", *english(asked.english, asked.parity), asked.peer)
    rows = list(sentences(asked.seed, REPORTING))
    compare("Chinese", [text for text, _ in rows], [list(spans) for _, spans in rows], asked.peer)
    for path in asked.clean:
        clean(path, asked.peer)


def english(path: Path, parity: int) -> tuple[list[str], Gold]:
    with gzip.open(path, "rt", encoding="utf-8") as f:
        rows = [row for row in map(json.loads, f) if row["template_id"] % 2 == parity]
    gold = [
        [(s["start"], s["end"], ENGLISH[s["type"]]) for s in r["spans"] if s["type"] in ENGLISH] for r in rows
    ]
    return [row["text"] for row in rows], gold


def compare(title: str, texts: Sequence[str], gold: Gold, peer: str | None) -> None:
    types = (*TYPES, *MORE_TYPES) if title == "English" else TYPES
    found = [[(s.start, s.end, s.type) for s in find_personal_data(text, types)] for text in texts]
    ours = score(gold, found)
    theirs: dict[str, Counter[str]] = {}
    threshold = 0.0
    if peer:
        answers, _ = ask(peer, texts)
        asked_for = {span[2] for spans in gold for span in spans}
        scored = {t: score(gold, [named(spans, t, asked_for) for spans in answers]) for t in THRESHOLDS}
        threshold = max(THRESHOLDS, key=lambda t: f1(total(scored[t])))
        theirs = scored[threshold]
    print(
        f"\n{title}: {len(texts)} texts; precision / recall / F1, false alarms; peer at threshold {threshold}"
    )
    for name in sorted({*ours, *theirs}):
        n = sum_of(ours, name)
        print(f"  {name:16} {n:4} in all  ours {show(ours.get(name))}  peer {show(theirs.get(name))}")
    shared = [name for name in ours if name in PEER.values()]
    for title, names in (("both cover", shared), ("all types", list(ours))):
        print(f"  {title:29} ours {show(total(ours, names))}  peer {show(total(theirs, names))}")


def named(spans: Sequence[tuple[int, int, str, float]], threshold: float, types: set[str]) -> list[Found]:
    return [(a, b, PEER[k]) for a, b, k, s in spans if s >= threshold and PEER.get(k) in types]


def score(gold: Gold, found: Iterable[Sequence[Found]]) -> dict[str, Counter[str]]:
    """Count right, missed and wrong finds by type."""
    counts: dict[str, Counter[str]] = {}
    for spans, finds in zip(gold, found, strict=True):
        left = list(spans)
        for find in finds:
            match = next((g for g in left if g[2] == find[2] and is_same(g, find)), None)
            if match:
                left.remove(match)
            counts.setdefault(find[2], Counter())["right" if match else "wrong"] += 1
        for span in left:
            counts.setdefault(span[2], Counter())["missed"] += 1
    return counts


def is_same(a: Found, b: Found) -> bool:
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return shared > 0 and shared * 2 >= max(a[1], b[1]) - min(a[0], b[0])


def total(counts: dict[str, Counter[str]], names: Sequence[str] | None = None) -> Counter[str]:
    return sum((c for name, c in counts.items() if names is None or name in names), Counter())


def sum_of(counts: dict[str, Counter[str]], name: str) -> int:
    found = counts.get(name, Counter())
    return found["right"] + found["missed"]


def f1(c: Counter[str]) -> float:
    return 2 * c["right"] / max(1, 2 * c["right"] + c["wrong"] + c["missed"])


def show(c: Counter[str] | None) -> str:
    if not c:
        return "   –     –     –      "
    precision = c["right"] / max(1, c["right"] + c["wrong"])
    recall = c["right"] / max(1, c["right"] + c["missed"])
    return f"{precision:.3f} {recall:.3f} {f1(c):.3f} {c['wrong']:4}"


def ask(peer: str, texts: Sequence[str]) -> tuple[list[list[tuple[int, int, str, float]]], float]:
    side = Path(__file__).parent / "peers" / "presidio_side.py"
    lines = "\n".join(json.dumps({"text": text}) for text in texts)
    done = subprocess.run([peer, str(side)], input=lines, capture_output=True, text=True, check=True)
    *answers, last = map(json.loads, done.stdout.strip().split("\n"))
    return answers, last["cpu_seconds"]


def clean(path: Path, peer: str | None) -> None:
    texts = read_texts(path)
    size = sum(len(text.encode()) for text in texts) / 1e6
    seconds = []
    for _ in range(3):
        start = time.process_time()
        found = Counter(s.type for text in texts for s in find_personal_data(text))
        seconds.append(time.process_time() - start)
    line = f"\n{path.name}: {size:.1f} MB, ours {size / min(seconds):.1f} MB per CPU-second"
    print(f"{line}, {sum(found.values()) / size:.1f} finds per MB: {dict(found.most_common())}")
    if peer:
        sizes = accumulate(map(len, texts))
        part = texts[: 1 + sum(size < PEER_BYTES for size in sizes)]
        answers, used = ask(peer, part)
        peer_size = sum(len(text.encode()) for text in part) / 1e6
        finds = Counter(PEER[k] for spans in answers for _, _, k, s in spans if s >= 0.4 and k in PEER)
        speed = f"{peer_size / used:.2f} MB per CPU-second on {peer_size:.2f} MB"
        print(f"  peer {speed}, {dict(finds.most_common())}")


def read_texts(path: Path, size: int = 5000) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as f:
        if "jsonl" in path.name:
            return [str(row.get("text") or row.get("content") or "") for row in map(json.loads, f)]
        text = f.read()
        return [text[i : i + size] for i in range(0, len(text), size)]


if __name__ == "__main__":
    main()
