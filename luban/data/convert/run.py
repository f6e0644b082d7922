"""Convert files and folders of rows: each row is read, checked and written, or set aside with its reason."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from luban.data.convert.files import CARRIERS, Writer
from luban.data.convert.formats import SHAPES, Form, named_format, source_form, target_form
from luban.data.convert.records import Labelled, Row
from luban.data.convert.settings import ConvertSettings
from luban.data.documents import JsonLines
from luban.data.encoding import Unreadable
from luban.errors import ConfigError, DataError
from luban.files import disk_errors
from luban.log import Log
from luban.stages import Facts

REJECTS = "rejects.jsonl"


def convert_stage(settings: ConvertSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Convert the inputs into a folder: rows.SUFFIX, or parts of a folder format; and rejects.jsonl."""
    job = _plan(list(inputs.values()), out / "rows", settings)
    suffix = CARRIERS[job.target.carrier].suffix
    if suffix:
        facts = _convert(job, out / f"rows{suffix}", out / REJECTS)
    else:
        facts = _convert(job, out / "rows", out / REJECTS)
        for path in (out / "rows").iterdir():
            path.rename(out / path.name)
        (out / "rows").rmdir()
    if facts["rejects"]:
        log.warn(f"{facts['rejects']} rows are set aside; the first: {facts['first_reject']}")
    return facts


def convert(sources: Sequence[Path], out: Path, settings: ConvertSettings) -> Facts:
    """Convert sources into one file, which appears when it is whole; rejects lie beside it.

    convert([Path("a.jsonl")], Path("b.json"), ConvertSettings(to="sharegpt"))
    """
    if any(source.exists() and out.exists() and source.samefile(out) for source in sources):
        raise ConfigError(f"{out} is what is read", fix="write to another file")
    job = _plan(sources, out, settings)
    if not CARRIERS[job.target.carrier].suffix:
        raise ConfigError(f"{settings.to} is a folder", fix="let the stage write it: convert_stage")
    rejects = rejects_beside(out)
    partial = out.with_name(f".{os.getpid()}.{out.name}")
    set_aside = out.with_name(f".{os.getpid()}.{rejects.name}")
    try:
        facts = _convert(job, partial, set_aside)
        with disk_errors(out):
            if set_aside.exists():
                set_aside.replace(rejects)
            else:
                rejects.unlink(missing_ok=True)
            partial.replace(out)
    finally:
        for path in (partial, set_aside):
            path.unlink(missing_ok=True)
    return facts


def rejects_beside(out: Path) -> Path:
    """Return where the rejects of a file lie: talks.jsonl.gz -> talks.rejects.jsonl."""
    name = out.name.removesuffix(".gz")
    return out.with_name(f"{Path(name).stem}.{REJECTS}")


@dataclass(slots=True)
class _Job:
    """What is read and written, and how a row is checked on the way."""

    sources: list[tuple[Path, Form, str | None]]
    target: Form
    known: frozenset[str]
    label_type: type[Any] | None = field(default=None)

    def rows(self) -> Iterator[tuple[Path, int, Row | Unreadable]]:
        """Yield each row as it is to be written, or why it cannot be."""
        self.label_type = None
        for path, form, label in self.sources:
            try:
                for line, row in CARRIERS[form.carrier].read(path):
                    yield path, line, row if isinstance(row, Unreadable) else self._made(row, form, label)
            except Unreadable as e:
                raise DataError(
                    f"{path} cannot be read: {e}", fix="check the file, or save it again"
                ) from None

    def _made(self, row: Row, form: Form, label: str | None) -> Row | Unreadable:
        if self.target.shape is None or form.shape is None:
            return row
        try:
            record = SHAPES[form.shape].read(row)
            if isinstance(record, Labelled):
                record = self._labelled(record, label)
            return SHAPES[self.target.shape].write(record)
        except Unreadable as e:
            return e

    def _labelled(self, record: Labelled, label: str | None) -> Labelled:
        if label is not None:
            record = replace(record, label=label)
        if record.label is not None:
            kind = float if type(record.label) is int else type(record.label)
            self.label_type = self.label_type or kind
            if kind is not self.label_type:
                raise Unreadable(
                    f"the label = {record.label!r:.60} is {_KINDS[kind]}, but the first is "
                    f"{_KINDS[self.label_type]}"
                )
        if self.known:
            named = {s.label for s in record.spans} | set(_names(record.label))
            if unknown := sorted(named - self.known):
                raise Unreadable(f"the label {unknown[0]} is not among {', '.join(sorted(self.known))}")
        return record


_KINDS = {float: "a number", str: "text", bool: "true or false", tuple: "a list"}


def _names(label: Any) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else () if label is None else (str(label),)


def _plan(sources: Sequence[Path], out: Path, settings: ConvertSettings) -> _Job:
    if settings.labels and len(settings.labels) != len(sources):
        raise ConfigError(
            f"convert.labels names {len(settings.labels)} labels for {len(sources)} inputs",
            fix="give one for each input, in order",
        )
    labels = settings.labels or (None,) * len(sources)
    forms = [source_form(path, settings.reads) for path in sources]
    checked = bool(settings.reads or settings.labels or settings.known)
    if settings.reads and not (settings.labels or settings.known or _shaped(settings)):
        forms = [replace(form, shape=None) for form in forms]  # one table to another: rows as they are
    targets = {target_form(out, settings.to, form, checked=checked) for form in forms}
    if len(targets) > 1:
        raise DataError(
            f"the inputs are of different forms: {', '.join(sorted({str(f) for f in forms}))}",
            fix="convert them one by one, or name the form of all with --from",
        )
    target = targets.pop()
    if settings.labels and (target.shape is None or SHAPES[target.shape].kind is not Labelled):
        raise ConfigError(
            f"the rows of {sources[0]} are no texts that a label can be given to",
            fix="give documents, or rows with a text",
        )
    return _Job(list(zip(sources, forms, labels, strict=True)), target, frozenset(settings.known))


def _shaped(settings: ConvertSettings) -> bool:
    """Whether a form that says what the columns mean is named, to read or to write."""
    return any(named_format(name).shape for name in (settings.reads, settings.to) if name)


def _convert(job: _Job, out: Path, rejects: Path) -> Facts:
    carrier = CARRIERS[job.target.carrier]
    n_in = n_out = 0
    first = ""
    with disk_errors(out):
        writer = carrier.write(out)
    with _finishing(writer, out), JsonLines(rejects) as set_aside:
        if carrier.looks:
            for _, _, row in job.rows():
                if not isinstance(row, Unreadable):
                    writer.look(row)
        for path, line, row in job.rows():
            n_in += 1
            try:
                if isinstance(row, Unreadable):
                    raise row
                with disk_errors(out):
                    writer.add(row)
                n_out += 1
            except Unreadable as e:
                first = first or f"{path.name}:{line}: {e}"
                set_aside.add({"file": path.name, "line": line, "reason": str(e)})
        if not n_out:
            why = f"the first of {n_in}: {first}" if n_in else "there is none"
            raise DataError(
                f"no row could be converted; {why}", fix="check the input, or name it with --from"
            )
    return {
        "counts": {"rows_in": n_in, "rows_out": n_out, "rows_rejected": n_in - n_out},
        "from": sorted({str(form) for _, form, _ in job.sources}),
        "to": str(job.target),
        "rejects": n_in - n_out,
        "first_reject": first,
    }


@contextlib.contextmanager
def _finishing(writer: Writer, out: Path) -> Iterator[None]:
    """Close the writer; after an error, only let go of its file and remove what it wrote."""
    try:
        yield
        with disk_errors(out):
            writer.close()
    except BaseException:
        with contextlib.suppress(Exception):
            writer.close()
        if out.is_dir():
            shutil.rmtree(out, ignore_errors=True)
        raise
