"""Translate a file line by line, or texts given on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from luban.tasks.translator import Translation


def translate(
    folder: Path = typer.Argument(
        ..., help="Model folder: of `luban train --task translate`, Marian, or T5."
    ),
    file: str | None = typer.Argument(None, help="A text file, translated line by line; - for stdin."),
    text: list[str] = typer.Option([], "--text", help="A text given here; may be repeated."),
    out: Path | None = typer.Option(None, help="File for the translations, instead of the terminal."),
    beam: int = typer.Option(
        5, min=1, help="Beginnings kept at each step; 1 always takes the likeliest token."
    ),
    length_penalty: float = typer.Option(1.0, help="Above 0 prefers longer translations."),
    as_json: bool = typer.Option(False, "--json", help="One JSON line a text, with its score."),
) -> None:
    """Translate texts: a line for each line, in order, blank ones kept.

    \b
    luban translate runs/en-de letters.txt --out letters.de.txt
    luban translate runs/en-de --text "How far did Tom go?"
    """
    from luban.errors import DataError
    from luban.files import disk_errors
    from luban.generate.beam import BeamSettings
    from luban.tasks.translator import load_translator

    if bool(text) == (file is not None):
        both = "a file and --text are given" if text else "there is nothing to translate"
        raise DataError(both, fix='name a file, or -, or give --text "..."')
    if file not in (None, "-") and not Path(str(file)).is_file():
        raise DataError(f"{file} does not exist, or is a folder", fix="name a text file")
    translator = load_translator(folder, BeamSettings(n_beams=beam, length_penalty=length_penalty))
    with ExitStack() as stack:
        target = sys.stdout
        if out is not None:
            stack.enter_context(disk_errors(out))
            target = stack.enter_context(out.open("w", encoding="utf-8"))
        for source, found in translator.stream(iter(text) if text else _lines(str(file))):
            print(_shown(source, found) if as_json else _line(found.text), file=target, flush=out is None)


def _lines(file: str) -> Iterator[str]:
    from luban.data.encoding import Unreadable, open_text
    from luban.errors import DataError

    try:
        with nullcontext(sys.stdin) if file == "-" else open_text(Path(file)) as lines:
            yield from (line.rstrip("\r\n") for line in lines)
    except Unreadable as e:
        raise DataError(f"{file} cannot be read: {e}", fix="give a text file") from None


def _line(text: str) -> str:
    return " ".join(text.splitlines())


def _shown(source: str, found: Translation) -> str:
    row = {"source": source, "translation": found.text, "score": found.score, "n_pieces": found.n_pieces}
    return json.dumps(row, ensure_ascii=False)
