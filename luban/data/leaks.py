"""What training text gives away: the nearest training document of each test document, and evaluations
whose items stand in the training text.

Overlap of long n-grams as the sign of contamination follows Brown et al. 2020 (arXiv:2005.14165,
appendix C), which took 13 words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.data.documents import JsonLines, read_documents
from luban.data.engine import ORDER, Engine, Rows, Table, open_engine
from luban.data.evaluations import Item, name_sets, read_items
from luban.data.probes import Look, hash_ngrams, make_probes
from luban.data.settings import DedupSettings, LeakSettings
from luban.data.steps import check_count, drop_mark, read_folder, table_of, write_rows
from luban.errors import DataError
from luban.log import Log
from luban.records import Drop

LEAKS = "leaks.jsonl"
STEP = "leaks"
SHORTER = (1.0, 0.6, 0.4)
"""Lengths of n-grams, as shares of the one asked for: an item is looked for by the longest that it has."""
ALMOST_ALL = 0.8
"""Of a short item so much must be found: a few words in a row prove little."""
TOLD = 0.1
"""Overlaps from this share on are written to leaks.jsonl."""
WORST = 20

Found = dict[int, tuple[float, int, str]]
"""Number of a text → the largest share, and the order and id of the document that has it."""


def leaks(settings: LeakSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> dict[str, Any]:
    """Look in the training documents for evaluation items and for neighbours of the test documents.

    Contaminated documents are flagged in a column `leak`, or dropped.
    """
    folder = inputs["documents"]
    sets = name_sets([path for name, path in inputs.items() if name.partition(":")[0] == "evaluation"])
    with open_engine(settings, out) as engine, JsonLines(out / LEAKS) as lines:
        marks: dict[int, Mark] = {}
        evaluations = {}
        items: list[Item] = []
        ranges: dict[str, range] = {}
        for name, path in sets.items():
            first = len(items)
            items += read_items(path, settings.fields, log)
            ranges[name] = range(first, len(items))
        checked = _check(engine, folder, items, settings)
        for name, own in ranges.items():
            evaluations[name] = checked.report(name, own, lines, marks)
            _say(name, evaluations[name], log)
        neighbours = _neighbours(engine, folder, settings, lines)
        if not sets and not neighbours:
            raise DataError(
                f"{folder} has no test part, and no evaluation is named: there is nothing to look for",
                fix="run `luban data split` first, or name evaluations with --against",
            )
        rows = read_folder(engine, folder).map(_Marked(marks, settings.action))
        written = write_rows(rows, out, [STEP])
    check_count(written, folder)
    facts = written.facts()
    facts["counts"]["contaminated"] = len(marks)
    return {**facts, "evaluations": evaluations, "neighbours": neighbours}


@dataclass(frozen=True, slots=True)
class Mark:
    """Why a document is contaminated: the worst of the items that it holds."""

    evaluation: str
    item: str
    share: float
    limit: float

    def __str__(self) -> str:
        return f"{self.share:.2f} of the n-grams of {self.evaluation} {self.item}"


@dataclass(frozen=True, slots=True)
class _Checked:
    """The items of all evaluations, and where they were found."""

    items: Sequence[Item]
    found: Found
    pairs: Sequence[tuple[int, float, int]]
    """Item, share and document's order of each overlap that is large enough to tell."""
    limits: Mapping[int, float]
    """Item → the share above which it contaminates; items too short to look for are not in it."""

    def report(self, name: str, own: range, lines: JsonLines, marks: dict[int, Mark]) -> dict[str, Any]:
        """Write what was found of an evaluation, mark contaminated documents, and return the summary."""
        for i, share, order in self.pairs:
            if i in own and share > self.limits[i] and (order not in marks or share > marks[order].share):
                marks[order] = Mark(name, self.items[i].ids[0], share, self.limits[i])
        told = sorted(
            (one for one in self.found.items() if one[0] in own), key=lambda one: (-one[1][0], one[0])
        )
        rows: list[dict[str, Any]] = [
            {"evaluation": name, "items": list(self.items[i].ids), "field": self.items[i].field,
             "share": round(share, 4), "document": document, "leaks": share > self.limits[i]}
            for i, (share, _, document) in told
        ]  # fmt: skip
        for row in rows:
            lines.add(row)
        ids = {id for i in own for id in self.items[i].ids}
        return {
            "items": len(ids),
            "texts": len(own),
            "too_short": sum(i not in self.limits for i in own),
            "leaked": len({id for row in rows if row["leaks"] for id in row["items"]}),
            "worst": rows[:WORST],
        }


def _check(engine: Engine, folder: Path, items: Sequence[Item], settings: LeakSettings) -> _Checked:
    sizes = [
        (max(2, round(settings.word_ngram * part)), max(2, round(settings.char_ngram * part)))
        for part in SHORTER
    ]
    groups: dict[int, list[int]] = {}
    for i, item in enumerate(items):
        level = next((k for k, size in enumerate(sizes) if _n_grams_of(item.text, size)), None)
        if level is not None:
            groups.setdefault(level, []).append(i)
    limits = {
        i: settings.max_overlap if level == 0 else max(settings.max_overlap, ALMOST_ALL)
        for level, group in groups.items()
        for i in group
    }
    levels = sorted(groups)
    folders = [_save([items[i].text for i in groups[k]], sizes[k], engine.scratch) for k in levels]
    look = Look(tuple(folders), tuple(sizes[k] for k in levels), TOLD, by_jaccard=False)
    pairs = [
        (groups[levels[row["probe"]]][row["text"]], row["share"], row[ORDER], row["id"])
        for row in _rows(read_folder(engine, folder).map(look))
    ] if items else []  # fmt: skip
    found: Found = {}
    for i, share, order, document in sorted(pairs, key=lambda pair: (-pair[1], pair[2])):
        found.setdefault(i, (share, order, document))
    return _Checked(items, found, [pair[:3] for pair in pairs], limits)


def _n_grams_of(text: str, size: tuple[int, int]) -> bool:
    """Whether a text has as many tokens as the n-gram asks for."""
    longer = hash_ngrams(text, size[0] - 1, size[1] - 1)
    return len(longer) > 1


def _save(texts: Sequence[str], size: tuple[int, int], scratch: Path) -> Path:
    folder = scratch / f"probes-{len(list(scratch.glob('probes-*')))}"
    make_probes(texts, *size).save(folder)
    return folder


def _neighbours(engine: Engine, folder: Path, settings: LeakSettings, lines: JsonLines) -> dict[str, Any]:
    """Find the nearest training document of every document that is held out."""
    held = [row for row in read_documents(folder) if row.get("split", "train") != "train"]
    if not held:
        return {}
    usual = DedupSettings()
    size = (usual.word_ngram, usual.char_ngram)
    look = Look((_save([row["text"] for row in held], size, engine.scratch),), (size,), TOLD, by_jaccard=True)
    nearest: Found = {}
    for row in _rows(read_folder(engine, folder).map(look)):
        best = nearest.get(row["text"])
        if best is None or (-row["share"], row[ORDER]) < (-best[0], best[1]):
            nearest[row["text"]] = (row["share"], row[ORDER], row["id"])
    report = {}
    for split in dict.fromkeys(row["split"] for row in held):
        own = [i for i, row in enumerate(held) if row["split"] == split]
        rows = [
            {"split": split, "document": held[i]["id"], "nearest": found[2], "jaccard": round(found[0], 4)}
            for i in own
            for found in [nearest.get(i, (0.0, 0, ""))]
        ]
        rows.sort(key=lambda row: (-row["jaccard"], row["document"]))
        for row in rows:
            lines.add(row)
        values = [row["jaccard"] for row in rows]
        report[split] = {
            "documents": len(rows),
            "near": sum(value >= settings.near for value in values),
            "median": values[len(values) // 2],
            "worst": rows[:WORST],
        }
    return report


def _rows(rows: Rows) -> Iterator[dict[str, Any]]:
    for table in rows:
        yield from table.to_pylist()


@dataclass(frozen=True, slots=True)
class _Marked:
    marks: Mapping[int, Mark]
    action: str

    def __call__(self, table: Table) -> Table:
        return table_of(self._mark(row) for row in table.to_pylist())

    def _mark(self, row: dict[str, Any]) -> dict[str, Any]:
        mark = self.marks.get(row[ORDER])
        if mark is None:
            return {**row, "sizes": [*row["sizes"], row["sizes"][-1]]}
        if self.action == "drop":
            return {**row, **drop_mark(Drop("leak", f"{mark}, at most {mark.limit:g}"), STEP)}
        return {**row, "sizes": [*row["sizes"], row["sizes"][-1]], "leak": str(mark)}


def _say(name: str, report: Mapping[str, Any], log: Log) -> None:
    log.say(
        f"  {name}: {report['leaked']} of {report['items']} items are in the training text"
        + (f"; {report['too_short']} texts are too short to tell" if report["too_short"] else ""),
        evaluation=name,
        **{key: report[key] for key in ("items", "leaked", "too_short")},
    )
