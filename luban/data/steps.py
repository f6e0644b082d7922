"""Documents through a list of steps, on any engine: each is kept, dropped with a reason, or rejected.

Between reading and writing, documents are rows of tables with three columns more: `order`, the row's
place in the input; `drop`, why it goes, as JSON, or null; `sizes`, its bytes before the first step and
after each that it passed. No row is taken out on the way, so what comes in is what is written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luban.data.documents import (
    COLUMNS,
    DROPPED,
    REJECTS,
    DocumentWriter,
    JsonLines,
    document_files,
    document_of,
    row_of,
)
from luban.data.engine import ORDER, Engine, EngineSettings, Rows, Table, open_engine
from luban.data.extras import load_extra
from luban.data.funnel import FunnelStep, Kept, count_bytes, document_counts
from luban.errors import DataError
from luban.files import disk_errors
from luban.log import Log
from luban.records import Document, Drop

TABLE_CHARS = 2_000_000  # text in a table, about
TABLE_ROWS = 5_000
READING = "read"
"""Step of rows that could not be read: they go to rejects.jsonl."""

Row = dict[str, Any]


def run_steps(
    settings: EngineSettings, folder: Path, steps: Sequence[Any], out: Path, log: Log
) -> dict[str, Any]:
    """Put the documents of a folder through steps and write those that are left; return a stage's facts.

    A step has a `name` and maps a document to a document or a Drop; it is sent to other processes.
    """
    with open_engine(settings, out) as engine:
        rows = read_folder(engine, folder).map(Steps(tuple(steps)))
        written = write_rows(rows, out, [step.name for step in steps])
    check_count(written, folder)
    return written.facts()


@dataclass(frozen=True, slots=True)
class Steps:
    """Applies steps to every row of a table that has not been dropped."""

    steps: tuple[Any, ...]

    def __call__(self, table: Table) -> Table:
        """Return the table with changed texts, and why rows were dropped."""
        return table_of(self._through(row) for row in table.to_pylist())

    def _through(self, row: Row) -> Row:
        if row["drop"] is not None:
            return row
        marks = {name: row.pop(name) for name in (ORDER, "drop", "sizes")}
        document, sizes = document_of(row), marks["sizes"]
        for step in self.steps:
            result = step(document)
            if isinstance(result, Drop):
                return {**row_of(document), **marks, **drop_mark(result, step.name)}
            sizes.append(sizes[-1] if result.text is document.text else count_bytes(result.text))
            document = result
        return {**row_of(document), **marks}


def drop_mark(drop: Drop, step: str, **more: Any) -> dict[str, str]:
    """Return the column that drops a row: why, at which step, and what else its line shall say."""
    mark = {"step": step, "reason": drop.reason, "detail": drop.detail, **more}
    return {"drop": json.dumps(mark, ensure_ascii=False, default=str)}


def reject_row(order: int, file: str, line: int | None, reason: str) -> Row:
    """Return the row of something that could not be read."""
    mark = json.dumps({"step": READING, "file": file, "line": line, "reason": reason}, ensure_ascii=False)
    return {"id": "", "text": "", "source": file, ORDER: order, "drop": mark, "sizes": []}


def document_row(order: int, document: Document) -> Row:
    """Return the row of a document that has just been read."""
    return {**row_of(document), ORDER: order, "drop": None, "sizes": [count_bytes(document.text)]}


def tables(rows: Iterable[Row]) -> Iterator[Table]:
    """Gather rows into tables of some two million characters."""
    group: list[Row] = []
    chars = 0
    for row in rows:
        group.append(row)
        chars += len(row["text"])
        if chars >= TABLE_CHARS or len(group) >= TABLE_ROWS:
            yield table_of(group)
            group, chars = [], 0
    if group:
        yield table_of(group)


def table_of(rows: Iterable[Row]) -> Table:
    """Return rows as a table; a column of theirs that is no text and no number becomes JSON."""
    pa = load_extra("pyarrow")
    rows = list(rows)
    fixed = {ORDER: pa.int64(), "drop": pa.large_string(), "sizes": pa.list_(pa.int64())}
    names = dict.fromkeys((*COLUMNS, *fixed))
    for row in rows:
        names.update(dict.fromkeys(row))
    columns = {}
    for name in names:
        values = [row.get(name, "" if name in COLUMNS else None) for row in rows]
        if name in fixed:
            columns[name] = pa.array(values, fixed[name])
        else:
            columns[name] = _array(values, is_text=name in COLUMNS)
    return pa.table(columns)


def _array(values: list[Any], *, is_text: bool) -> Any:
    pa = load_extra("pyarrow")
    kinds = set() if is_text else {type(v) for v in values if v is not None}
    for kind, arrow in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64())):
        if kinds == {kind}:
            return pa.array(values, arrow)
    texts = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:  # half of a surrogate pair, which no file can hold
        valid = [v if v is None else v.encode("utf-8", "replace").decode() for v in texts]
        return pa.array(valid, pa.large_string())


def read_folder(engine: Engine, folder: Path) -> Rows:
    """Return the rows of a documents folder; their order is their number in it, from 0."""
    return engine.read(folder_units(folder), read_unit)


def folder_units(folder: Path) -> list[tuple[str, int, int]]:
    """Return the row groups of a documents folder: file, number in it, and the order of the first row."""
    pq = load_extra("pyarrow.parquet")
    units, n = [], 0
    for path in document_files(folder):
        try:
            with pq.ParquetFile(path) as parquet:
                for group in range(parquet.num_row_groups):
                    units.append((str(path), group, n))
                    n += parquet.metadata.row_group(group).num_rows
        except load_extra("pyarrow").ArrowInvalid as e:
            raise DataError(f"{path} cannot be read: {e}", fix="make the folder again") from None
    return units


def read_unit(unit: tuple[str, int, int]) -> Iterator[Table]:
    """Yield a row group of a documents folder as tables."""
    pa, pc = load_extra("pyarrow"), load_extra("pyarrow.compute")
    path, group, first = unit
    with load_extra("pyarrow.parquet").ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(batch_size=1000, row_groups=[group], use_threads=False):
            table = pa.Table.from_batches([batch])
            n = table.num_rows
            sizes = pc.cast(pc.binary_length(table.column("text")), pa.int64()).combine_chunks()
            lists = pa.ListArray.from_arrays(pa.array(range(n + 1), pa.int32()), sizes)
            table = table.append_column(ORDER, pa.array(range(first, first + n), pa.int64()))
            table = table.append_column("drop", pa.nulls(n, pa.large_string()))
            yield table.append_column("sizes", lists)
            first += n


@dataclass(slots=True)
class Written:
    """What was written: the account of a stage that handles documents."""

    funnel: list[FunnelStep]
    kept: Kept = field(default_factory=Kept)
    documents_in: int = 0
    bytes_in: int = 0
    rejects: int = 0
    reasons: list[str] = field(default_factory=list)
    """Of the first rejects."""
    drops: dict[str, int] = field(default_factory=dict)
    """Dropped documents by reason."""

    def add(self, other: Written) -> None:
        """Count what another writer wrote."""
        for mine, its in zip(self.funnel, other.funnel, strict=True):
            mine.add(its)
        self.kept.merge(other.kept)
        self.documents_in += other.documents_in
        self.bytes_in += other.bytes_in
        self.rejects += other.rejects
        self.reasons = (self.reasons + other.reasons)[:5]
        for reason, n in other.drops.items():
            self.drops[reason] = self.drops.get(reason, 0) + n

    def facts(self) -> dict[str, Any]:
        """Return what the manifest shows."""
        return {
            "counts": document_counts(self.documents_in, self.bytes_in, self.kept),
            "funnel": [step.facts() for step in self.funnel],
            **self.kept.facts(),
            "drops": dict(sorted(self.drops.items(), key=lambda item: -item[1])),
            "rejects": self.rejects,
        }


def write_rows(
    rows: Rows, out: Path, names: Sequence[str], titles: Mapping[str, str] | None = None
) -> Written:
    """Write kept rows to documents-*.parquet, others to dropped.jsonl and rejects.jsonl.

    `names` are the steps of the funnel in order; `titles` says what to call a source, where known.
    """
    parts = rows.write(_Writer(out, tuple(names), dict(titles or {})))
    whole = Written([FunnelStep(name) for name in names])
    for part in parts:
        whole.add(part)
    for name in (DROPPED, REJECTS):
        _join(out, name)
    return whole


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the rows of tables in order, and counts them."""

    out: Path
    names: tuple[str, ...]
    titles: Mapping[str, str]

    def __call__(self, tables: Iterator[Table], word: str) -> Written:
        written = Written([FunnelStep(name) for name in self.names])
        with (
            DocumentWriter(self.out, f"documents{word}") as documents,
            JsonLines(_lines(self.out, DROPPED, word)) as dropped,
            JsonLines(_lines(self.out, REJECTS, word)) as rejects,
        ):
            for table in tables:
                stays = load_extra("pyarrow.compute").is_null(table.column("drop"))
                kept = table.filter(stays)
                documents.add_table(kept.drop_columns([ORDER, "drop", "sizes"]))
                _count_kept(written, kept, self.titles)
                for row in _gone(table, stays):
                    mark, sizes = json.loads(row.pop("drop")), row.pop("sizes")
                    if mark["step"] == READING:
                        _count_reject(written, mark)
                        rejects.add({name: mark[name] for name in ("file", "line", "reason")})
                        continue
                    dropped.add({**mark, **_where(row)})
                    _count_dropped(written, row, mark, sizes)
        return written


def _gone(table: Table, stays: Any) -> list[Row]:
    rows: list[Row] = table.filter(load_extra("pyarrow.compute").invert(stays)).to_pylist()
    for row in rows:
        del row[ORDER]
    return rows


def _lines(out: Path, name: str, word: str) -> Path:
    return out / name.replace(".", f"{word}.")


def _join(out: Path, name: str) -> None:
    """Make one file of those that several writers wrote."""
    parts = sorted(out.glob(name.replace(".", "-*.")))
    with disk_errors(out):
        for part in parts:
            with part.open("rb") as source, (out / name).open("ab") as whole:
                shutil.copyfileobj(source, whole)
            part.unlink()


def _where(row: Row) -> Row:
    return {name: row.get(name) for name in (*COLUMNS, *row) if row.get(name) is not None}


def _count_reject(written: Written, mark: Row) -> None:
    written.rejects += 1
    if len(written.reasons) < 5:
        where = mark["file"] if mark["line"] is None else f"{mark['file']}:{mark['line']}"
        written.reasons.append(f"{where}: {mark['reason']}")


def _count_kept(written: Written, table: Table, titles: Mapping[str, str]) -> None:
    if not table.num_rows:
        return
    sizes = table.column("sizes").combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
    totals = sizes.sum(axis=0).tolist()
    written.documents_in += table.num_rows
    written.bytes_in += totals[0]
    for step, before, after in zip(written.funnel, totals, totals[1:], strict=False):
        step.passed(before, after, table.num_rows)
    names = ("language", "licence", "source")
    kinds: dict[tuple[str, ...], list[int]] = {}
    rows = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    for kind, size in zip(rows, sizes[:, -1].tolist(), strict=True):
        counted = kinds.setdefault(kind, [0, 0])
        counted[0] += 1
        counted[1] += size
    for (language, licence, source), (documents, size) in kinds.items():
        title = titles.get(source)
        written.kept.add(language, licence, title or source, size, named=bool(title), documents=documents)


def _count_dropped(written: Written, row: Row, mark: Row, sizes: list[int]) -> None:
    written.documents_in += 1
    written.bytes_in += sizes[0]
    for step, before, after in zip(written.funnel, sizes, sizes[1:], strict=False):
        step.passed(before, after)
    drop = Drop(mark["reason"], mark["detail"])
    step = next(s for s in written.funnel if s.step == mark["step"])
    step.dropped(row["id"], row["text"], sizes[-1], drop)
    written.drops[drop.reason] = written.drops.get(drop.reason, 0) + 1


def check_count(written: Written, folder: Path) -> None:
    """Refuse an outcome in which documents of a folder were lost or doubled."""
    pq = load_extra("pyarrow.parquet")
    n = sum(pq.read_metadata(path).num_rows for path in document_files(folder))
    if written.documents_in != n:
        raise DataError(
            f"{folder} has {n} documents, and {written.documents_in} were kept or dropped",
            fix="the folder changed while it was read, or the engine lost rows: run it again",
        )


def say_rejects(written: Written, log: Log) -> None:
    """Warn of what could not be read."""
    for reason in written.reasons:
        log.warn(f"left out {reason}", reason=reason)
    if written.rejects > len(written.reasons):
        log.warn(f"left out {written.rejects} files or rows in all: see {REJECTS}", rejects=written.rejects)
