"""Ask a trained model: labels for texts, answers in texts, whatever its task is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

MAX_SHOWN = 80
"""Characters of a cell in a table; --json has all."""


def predict(
    folder: Path = typer.Argument(..., help="Model folder: of `luban train`, or a Hugging Face classifier."),
    file: str | None = typer.Argument(
        None, help="What to ask about: a text a line (txt), or rows (jsonl, csv, tsv, parquet); - for stdin."
    ),
    text: list[str] = typer.Option([], "--text", help="A text given here; may be repeated."),
    row: list[str] = typer.Option([], "--row", help="A row given here as JSON; may be repeated."),
    column: str | None = typer.Option(
        None, help="Column that holds the text, or the first that the task reads, when its name is unusual."
    ),
    as_json: bool = typer.Option(
        False, "--json", help="One JSON line a row, with all that the model says of it."
    ),
) -> None:
    """Ask a model of any task: one answer for each text or row.

    \b
    luban predict runs/x texts.txt
    luban predict runs/x --text "a fine film" --json
    luban predict runs/qa --row '{"question": "Who came?", "context": "Lu Ban came."}'
    """
    from luban.errors import DataError
    from luban.log import Log
    from luban.tasks.asking import row_of_json, rows_of_file, rows_of_texts
    from luban.tasks.task import open_predictor

    if not text and not row and file is None:
        raise DataError("there is nothing to ask about", fix='name a file, -, or --text "..."')
    predictor = open_predictor(folder)
    reads = predictor.reads
    rows = [*rows_of_texts(text, reads, "--text"), *(row_of_json(one, reads) for one in row)]
    if file == "-":
        lines = (line.rstrip("\r\n") for line in sys.stdin if line.strip())
        rows += rows_of_texts(lines, reads, "standard input")
    elif file is not None:
        rows += rows_of_file(Path(file), reads, column)
    answers = predictor.predict(rows) if rows else []
    if as_json:
        for asked, answer in zip(rows, answers, strict=True):
            Log(as_json=True).result({**{name: asked[name] for name in reads}, **answer})
        return
    from luban.cli.scores import print_table

    print_table(
        (*predictor.shows, *reads),
        [
            tuple(_cell(answer.get(name)) for name in predictor.shows)
            + tuple(_cell(asked[name]) for name in reads)
            for asked, answer in zip(rows, answers, strict=True)
        ],
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return plain if len(plain) <= MAX_SHOWN or sys.stdout.isatty() is False else f"{plain[:MAX_SHOWN]}…"
