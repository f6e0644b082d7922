"""Label documents by rules that vote and by a classifier; keep those with the wanted labels."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.config import nearest
from luban.data.documents import COLUMNS, DROPPED, document_files
from luban.data.engine import ORDER, Table, open_engine
from luban.data.examples import label_name
from luban.data.extras import load_extra
from luban.data.steps import check_count, drop_mark, read_folder, table_of, write_rows
from luban.errors import ConfigError
from luban.files import read_json, read_jsonl
from luban.log import Log
from luban.records import Drop
from luban.stages import Facts
from luban.tasks.label_settings import LabelSettings
from luban.tasks.rules import Tally, Voter, read_rules, tally

STEP = "label"
VOTES, CONFIDENCE, SCORE = "votes", "confidence", "score"
"""Columns: the names of the rules that voted, as JSON; the share of the label; that of all wanted labels."""
MIN_CONFIDENCE = 0.5


def label(settings: LabelSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Write the documents with their labels, and those not wanted to dropped.jsonl."""
    rules, model = inputs.get("rules"), inputs.get("model")
    if rules is None and model is None:
        raise ConfigError("nothing says how to label", fix="give --rules rules.yaml, --model FOLDER, or both")
    known = list(dict.fromkeys(voter.label for voter in _voters(rules)))
    if model is not None:
        known += [name for name in _classifier(model)[0] if name not in known]
    for wanted in settings.keep:
        if wanted not in known:
            raise ConfigError(f"label.keep: no rule and no model gives {wanted}", fix=nearest(wanted, known))
    _check_columns(inputs["documents"], settings, has_rules=rules is not None)
    if model is not None and not settings.workers and not _is_bag(model):
        settings = dataclasses.replace(settings, workers=1)  # a network takes all cores by itself
    with open_engine(settings, out) as engine:
        rows = read_folder(engine, inputs["documents"]).map(Labeller(settings, rules, model))
        written = write_rows(rows, out, [STEP])
    check_count(written, inputs["documents"])
    counted = _count(out, settings, _voters(rules))
    if not written.kept.documents:
        log.warn(f"no document is kept: see {DROPPED}")
    return written.facts() | counted


@dataclass(frozen=True, slots=True)
class Labeller:
    """Adds the columns of labels to a table of documents; it is sent to other processes."""

    settings: LabelSettings
    rules: Path | None
    model: Path | None

    def __call__(self, table: Table) -> Table:
        """Return the table with labels, and with why documents are dropped."""
        rows = table.to_pylist()
        voters = _voters(self.rules)
        given = self._probabilities([row["text"] for row in rows])
        for row, probabilities in zip(rows, given, strict=True):
            voted = [voter for voter in voters if voter.votes(row)]
            shares = tally(voted, probabilities, self.settings.model_weight)
            row.update(_columns(self.settings, shares))
            if voters:
                row[VOTES] = json.dumps([voter.name for voter in voted], ensure_ascii=False)
            drop = _drop(self.settings, shares)
            if drop is None:
                row["sizes"].append(row["sizes"][-1])
            else:
                row.update(drop_mark(drop, STEP))
        return table_of(rows)

    def _probabilities(self, texts: Sequence[str]) -> Iterator[Mapping[str, float]]:
        if self.model is None:
            yield from ({} for _ in texts)
            return
        names, predict = _classifier(self.model)
        for start in range(0, len(texts), self.settings.batch_size):
            for row in predict(texts[start : start + self.settings.batch_size]):
                yield dict(zip(names, map(float, row), strict=True))


def _columns(settings: LabelSettings, shares: Mapping[str, float]) -> dict[str, Any]:
    best = max(shares, key=lambda name: shares[name]) if shares else None
    columns: dict[str, Any] = {settings.column: best, CONFIDENCE: shares[best] if best else 0.0}
    if settings.keep:
        columns[SCORE] = _score(settings, shares)
    return columns


def _score(settings: LabelSettings, shares: Mapping[str, float]) -> float:
    return sum(shares.get(name, 0.0) for name in settings.keep)


def _drop(settings: LabelSettings, shares: Mapping[str, float]) -> Drop | None:
    if not settings.keep:
        return None
    wanted = " or ".join(settings.keep)
    if not shares:
        return Drop("no label", f"no rule votes on it, only {wanted} is wanted")
    score = _score(settings, shares)
    least = MIN_CONFIDENCE if settings.min_confidence is None else settings.min_confidence
    if score >= least:
        return None
    best = max(shares, key=lambda name: shares[name])
    return Drop(f"labelled {best}", f"{score:.4f} for {wanted}, at least {least:g} is needed")


def _voters(rules: Path | None) -> tuple[Voter, ...]:
    return _read_voters(rules, rules.stat().st_mtime_ns) if rules is not None else ()


@functools.cache
def _read_voters(rules: Path, changed: int) -> tuple[Voter, ...]:
    return read_rules(rules)


Predict = Callable[[Sequence[str]], Any]
"""Texts -> probabilities (n, K)."""


def _classifier(folder: Path) -> tuple[tuple[str, ...], Predict]:
    config = folder / "config.json"
    return _open_classifier(folder, config.stat().st_mtime_ns if config.is_file() else 0)


@functools.cache
def _open_classifier(folder: Path, changed: int) -> tuple[tuple[str, ...], Predict]:
    """Open a classifier once a process; a bag of n-grams does not need PyTorch."""
    if _is_bag(folder):
        from luban.tasks.bag_model import load_bag

        bag = load_bag(folder)
        return bag.labels, bag.probabilities
    from luban.tasks.predict import load_classifier

    found = load_classifier(folder)
    return found.labels, found.probabilities


def _is_bag(folder: Path) -> bool:
    config = folder / "config.json"
    return config.is_file() and read_json(config).get("model_type") == "luban-bag"


def _check_columns(folder: Path, settings: LabelSettings, *, has_rules: bool) -> None:
    """Refuse to write over what documents have, and to judge by a column that they have not."""
    pq = load_extra("pyarrow.parquet")
    names = {name for path in document_files(folder) for name in pq.read_schema(path).names}
    names |= {*COLUMNS, ORDER, "drop", "sizes"}
    written = [
        settings.column,
        CONFIDENCE,
        *([SCORE] if settings.keep else []),
        *([VOTES] if has_rules else []),
    ]
    taken = next((name for name in written if name in names or written.count(name) > 1), None)
    if taken is not None:
        fix = "choose another: label.column=NAME" if taken == settings.column else "rename it before"
        raise ConfigError(f"the documents of {folder} have a column {taken} already", fix=fix)
    if settings.gold is not None and settings.gold not in names - {"id", "text"}:
        raise ConfigError(
            f"label.gold: the documents of {folder} have no column {settings.gold}",
            fix=nearest(settings.gold, names - set(COLUMNS)),
        )


def _count(out: Path, settings: LabelSettings, voters: Sequence[Voter]) -> Facts:
    """Count votes and labels over what was written, kept or dropped."""
    counted = Tally({voter.name: voter.label for voter in voters})
    for row in _outcomes(out, settings):
        gold = row.get(settings.gold) if settings.gold else None
        voted = json.loads(row.get(VOTES) or "[]")
        counted.add(voted, row.get(settings.column), label_name(gold) or None)
    return counted.facts()


def _outcomes(out: Path, settings: LabelSettings) -> Iterator[dict[str, Any]]:
    pq = load_extra("pyarrow.parquet")
    wanted = {settings.column, VOTES, settings.gold}
    for path in document_files(out):
        with pq.ParquetFile(path) as parquet:
            columns = [name for name in parquet.schema_arrow.names if name in wanted]
            for batch in parquet.iter_batches(batch_size=10_000, columns=columns):
                yield from batch.to_pylist()
    if (out / DROPPED).is_file():
        yield from read_jsonl(out / DROPPED)
