"""`luban export`: a model in a form that other programs read."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import typer


class Form(str, Enum):
    """What to write."""

    word2vec = "word2vec"


def export(
    model: Path = typer.Argument(help="Model folder, or a file of word vectors."),
    to: Form = typer.Option(
        help="word2vec: the words and their vectors as text, with a first line of counts."
    ),
    out: Path = typer.Option(help="File to write; packed if its name ends in .gz."),
    as_json: bool = typer.Option(False, "--json", help="JSON lines; the last has the counts."),
) -> None:
    """Write a model for other programs: so far its word vectors, as word2vec text.

    \b
    Example:
      luban export runs/words --to word2vec --out words.txt.gz
    """
    from luban.log import Log
    from luban.models.vectors import write_vectors
    from luban.tasks.word_vectors import word_vectors

    log = Log(as_json=as_json)
    words, matrix = word_vectors(model, log)
    writable = [i for i, word in enumerate(words) if word and not any(c.isspace() for c in word)]
    if len(writable) < len(words):
        log.warn(f"{len(words) - len(writable)} words hold spaces, which the format cannot write: left out")
    write_vectors([words[i] for i in writable], matrix[writable], out)
    counts = {"words": len(writable), "dim": matrix.shape[1]}
    if as_json:
        log.result({"out": str(out), "to": to.value, **counts})
    else:
        print(f"{counts['words']:,} words, {counts['dim']} numbers each: {out}")
