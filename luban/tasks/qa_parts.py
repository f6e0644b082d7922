"""Rows of questions in parts for training, validation and test, with no context in two of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from luban.data.examples import CARVED
from luban.data.split import assign
from luban.errors import DataError
from luban.tasks.qa_rows import Asked, Columns, Questions, read_rows_of


def read_questions(
    path: Path, columns: Columns, *, eval_path: Path | None = None, seed: int = 1
) -> Questions:
    """Read rows and part them, so that no context, and no title where there are several, is in two parts.

    A split column is followed; `eval_path` is the test part whatever its own column says. A file with
    train and dev only has its dev part tested, and validation is carved from train.
    """
    found = Questions()
    rows = read_rows_of(path, columns, found)
    if eval_path:
        tested = read_rows_of(eval_path, columns, found)
        rows = [r for r in rows if r.part != "test"]
        rows += [dataclasses.replace(r, part="test") for r in tested]
    if not rows:
        first = f": line {r[0]['line']}: {r[0]['reason']}" if (r := found.rejects) else ""
        raise DataError(
            f"{path} has no usable row ({len(found.rejects)} rejected{first})",
            fix="give rows with question, context and answers",
        )
    parts = _parts(rows, found, seed, path)
    _remove_leaks(parts, found, path.name)
    for row in parts["train"]:
        if row.texts and not row.spans:
            reason = f"the answer {row.texts[0][:60]!r} does not stand in the context"
            found.rejects.append({"file": path.name, "line": row.line, "id": row.id, "reason": reason})
    found.train = [r for r in parts["train"] if r.spans or r.is_impossible]
    found.validation, found.test = parts["validation"], parts["test"]
    if len(found.train) < len(parts["train"]):
        lost = len(parts["train"]) - len(found.train)
        found.warnings.append(
            f"{lost} training rows are set aside: their answers do not stand in the context"
        )
    return found


def _parts(rows: list[Asked], found: Questions, seed: int, path: Path) -> dict[str, list[Asked]]:
    """The rows by part, with missing parts carved from train."""
    parts: dict[str, list[Asked]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        parts[row.part or "train"].append(row)
    if not parts["train"]:
        raise DataError(f"{path} has no rows for training", fix="mark some rows train in the split column")
    if not parts["test"] and parts["validation"]:
        found.warnings.append(
            "there is no test part: the dev part is tested, and validation is carved from train"
        )
        parts["test"], parts["validation"] = parts["validation"], []
    missing = {name: CARVED for name in ("validation", "test") if not parts[name]}
    if not missing:
        return parts
    names = _families(parts["train"], at_least=len(missing) + 1)
    if len(set(names)) <= len(missing):
        raise DataError(
            f"{path} has {len(set(names))} contexts for training: too few to carve {' and '.join(missing)}",
            fix="give more contexts, or mark the parts in a split column",
        )
    shares = {"validation": 0.0, "test": 0.0, **missing}
    part_of = assign(names, validation=shares["validation"], test=shares["test"], seed=seed)
    whole, parts["train"] = parts["train"], []
    for row, name in zip(whole, names, strict=True):
        parts[part_of[name]].append(row)
    return parts


def _families(rows: Sequence[Asked], at_least: int) -> list[str]:
    """Name for each row what must stay together: rows of one title and of one context.

    Titles are passed over where there are too few of them to part.
    """
    titles = {row.title for row in rows if row.title}
    by_title = len(titles) >= max(10, at_least)
    first: dict[str, str] = {}

    def root(name: str) -> str:
        while first[name] != name:
            first[name] = first[first[name]]
            name = first[name]
        return name

    for row in rows:
        context, title = "c" + same(row.context), "t" + row.title if by_title and row.title else ""
        for name in (context, title or context):
            first.setdefault(name, name)
        a, b = sorted((root(context), root(title or context)))
        first[b] = a
    return [root("c" + same(row.context)) for row in rows]


def same(context: str) -> str:
    """Return a context without what does not make it another."""
    return " ".join(context.casefold().split())


def _remove_leaks(parts: dict[str, list[Asked]], found: Questions, file: str) -> None:
    """Take out of train what has its context in validation or test, and out of validation what is in test."""
    for name, judges in (("train", ("validation", "test")), ("validation", ("test",))):
        judged = {same(row.context): judge for judge in judges for row in parts[judge]}
        leaked = [row for row in parts[name] if same(row.context) in judged]
        if not leaked:
            continue
        found.rejects += [
            {
                "file": file,
                "line": r.line,
                "id": r.id,
                "reason": f"its context is in {judged[same(r.context)]} too",
            }
            for r in leaked
        ]
        found.warnings.append(
            f"{len(leaked)} {name} rows are set aside: their context is in a part that is tested"
        )
        parts[name] = [row for row in parts[name] if same(row.context) not in judged]
        if not parts[name]:
            raise DataError(
                f"no rows are left for {name}: all their contexts are in validation or test",
                fix="part the rows by their contexts",
            )


def counts_of(rows: Iterable[Asked]) -> dict[str, int]:
    """Return how many rows, contexts, and rows without an answer there are."""
    rows = list(rows)
    n_contexts = len({same(row.context) for row in rows})
    return {"rows": len(rows), "contexts": n_contexts, "no_answer": sum(row.is_impossible for row in rows)}
