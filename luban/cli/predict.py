"""Classify texts with a trained model."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def predict(
    folder: Path = typer.Argument(
        ..., help="Model folder: of `luban train --task classify`, or the bag baseline."
    ),
    file: str | None = typer.Argument(
        None, help="Texts: a line each (txt), jsonl, csv, tsv, parquet; - for stdin."
    ),
    text: list[str] = typer.Option([], "--text", help="A text given here; may be repeated."),
    column: str | None = typer.Option(None, help="Column that holds the text, when its name is unusual."),
    as_json: bool = typer.Option(
        False, "--json", help="One JSON line a text, with every label's probability."
    ),
) -> None:
    """Classify texts: one label with its probability for each.

    \b
    luban predict runs/x texts.txt
    luban predict runs/x --text "a fine film" --json
    """
    from luban.errors import DataError
    from luban.log import Log
    from luban.tasks.predict import load_classifier, read_texts

    texts = list(text)
    if file == "-":
        texts += [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
    elif file is not None:
        texts += read_texts(Path(file), column)
    if not texts:
        raise DataError("there is no text to classify", fix='name a file, -, or --text "..."')
    predictions = load_classifier(folder).predict(texts)
    if as_json:
        for one, p in zip(texts, predictions, strict=True):
            row = {
                "text": one,
                "label": p.label,
                "probability": p.probability,
                "probabilities": p.probabilities,
            }
            Log(as_json=True).result(row)
        return
    from luban.cli.scores import print_table

    print_table(
        ("label", "probability", "text"),
        [(p.label, f"{p.probability:.3f}", one) for one, p in zip(texts, predictions, strict=True)],
    )
