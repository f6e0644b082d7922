"""`luban why RUN --step N`: the samples that a training step saw, and the documents in them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luban.data.provenance import Piece
    from luban.tasks.provenance import Sample

SHOWN_CHARS = 60


def print_step(run: Path, step: int, *, as_json: bool) -> None:
    """Print every sample of the step; as JSON, one line each."""
    from luban.log import Log
    from luban.tasks.provenance import samples_of

    samples = samples_of(run, step)
    if as_json:
        for sample in samples:
            Log(as_json=True).result(asdict(sample))
        return
    _print(samples)


def _print(samples: list[Sample]) -> None:
    from rich.console import Console

    console = Console()
    for sample in samples:
        console.print(_title(sample), soft_wrap=True)
        for piece in sample.pieces:
            console.print(_line(piece), soft_wrap=True)


def _title(sample: Sample) -> Any:
    from rich.text import Text

    text = Text(f"micro-batch {sample.micro_batch}, row {sample.row}", style="bold")
    number = f"  sample {sample.ids[0]}" if sample.ids else ""
    part = f" of {sample.part}" if sample.part else ""
    text.append(f"{number}{part}  ", style="dim")
    return text.append(_short(sample.reads))


def _line(piece: Piece) -> Any:
    from rich.text import Text

    first, end = piece.tokens
    text = Text(f"  {piece.id}", style="cyan")
    text.append(f"  tokens {first}–{end - 1} of {piece.n_tokens}", style="dim")
    text.append(f"  {piece.source}, {piece.licence}, {piece.language}")
    return text.append(f"  {_short(piece.text)}" if piece.text else "", style="italic")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}…"
