"""Which samples a training step of a finished run saw, and where they came from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.config import Tree, fill
from luban.data.provenance import Piece, pieces, with_texts
from luban.errors import ConfigError, DataError
from luban.files import Manifest
from luban.log import Log
from luban.records import Batch
from luban.runner import input_key
from luban.stages import STAGES, trained_stages
from luban.tasks.prepared import preparation
from luban.tasks.windows import shard_folders, training_windows
from luban.tokenizer import Tokenizer, load_tokenizer

TEXT_TOKENS = 40
"""So many tokens of a row are spelt out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One row of one micro-batch of a step."""

    step: int
    micro_batch: int
    """From 0."""
    row: int
    """From 0."""
    ids: tuple[int, ...]
    """The sample's number in its data; of a row that packs several, of each."""
    part: str
    """The part of a mixture; "" where nothing is mixed."""
    reads: str
    """How the row begins, as the model reads it."""
    pieces: tuple[Piece, ...]
    """The documents in it; none where rows are no packed documents."""


def samples_of(run: Path, step: int, *, texts: bool = True) -> list[Sample]:
    """Return the samples of a step of the run in a folder, in the order in which the model saw them.

    samples_of(Path("runs/lm"), 120)[0].pieces[0].source
    """
    manifest = Manifest.read(run)
    if manifest is None or manifest.stage not in trained_stages():
        what = "no finished run" if manifest is None else f"made by the stage {manifest.stage}"
        raise DataError(
            f"{run} has no training steps: {what}",
            fix=f"name a folder that {' or '.join(trained_stages())} wrote",
        )
    settings = fill(STAGES[manifest.stage].settings_class(), Tree(manifest.settings))
    n_steps = manifest.facts.get("counts", {}).get("steps") or settings.steps
    if step < 1 or (n_steps and step > n_steps):
        raise ConfigError(f"--step {step}: {run} has the steps 1 to {n_steps}", fix="name one of them")
    inputs = {name: Path(given["path"]) for name, given in manifest.inputs.items()}
    for name, path in inputs.items():
        if input_key(path) != manifest.inputs[name]["key"]:
            raise DataError(
                f"{path} has changed since {run} was made from it", fix="restore it, or train again"
            )
    if manifest.stage == "pretrain":
        return _windows(inputs, settings, step, load_tokenizer(run), texts=texts)
    return _rows(manifest.stage, inputs, settings, step, load_tokenizer(run))


def _windows(
    inputs: Mapping[str, Path], settings: Any, step: int, tokenizer: Tokenizer, *, texts: bool
) -> list[Sample]:
    windows = training_windows(shard_folders(inputs), settings)
    samples, found = [], []
    for n, batch in enumerate(windows.at(step)):
        for row, window in enumerate(batch.ids):
            part, stream, start = windows.place(window)
            found.append(pieces(stream, start, windows.context))
            samples.append((n, row, batch, part))
    flat = [piece for its in found for piece in its]
    known = iter(with_texts(flat) if texts else flat)
    complete = [tuple(next(known) for _ in its) for its in found]
    return [
        _sample(step, n, row, batch, tokenizer, part=part, pieces=its)
        for (n, row, batch, part), its in zip(samples, complete, strict=True)
    ]


def _rows(
    stage: str, inputs: Mapping[str, Path], settings: Any, step: int, tokenizer: Tokenizer
) -> list[Sample]:
    """Return the rows of other stages, whose batches the stage itself prepares again."""
    with tempfile.TemporaryDirectory(prefix="luban-why-") as folder:
        batches = preparation(stage)(settings, inputs, Path(folder), Log(quiet=True)).run.batches
        micro_batches = batches.at(step)
    return [
        _sample(step, n, row, batch, tokenizer)
        for n, batch in enumerate(micro_batches)
        for row in range(len(batch.tokens))
    ]


def _sample(
    step: int,
    micro_batch: int,
    row: int,
    batch: Batch,
    tokenizer: Tokenizer,
    **more: Any,
) -> Sample:
    is_one_each = len(batch.ids) == len(batch.tokens)
    tokens = batch.tokens[row][batch.documents[row] > 0][:TEXT_TOKENS].tolist()
    ids = (batch.ids[row],) if is_one_each else ()
    given: dict[str, Any] = {"part": "", "pieces": (), **more}
    return Sample(
        step=step,
        micro_batch=micro_batch,
        row=row,
        ids=ids,
        reads=tokenizer.decode(tokens, skip_special=False),
        **given,
    )
