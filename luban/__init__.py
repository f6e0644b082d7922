"""Luban: one toolkit for the whole craft of language models.

model, tokenizer = luban.load("runs/x")
texts = luban.generate(model, tokenizer, ["To be"], max_new_tokens=20)
luban.save(model, tokenizer, "copy")
rows = luban.predict("runs/x", ["a fine film"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luban.generate.beam import BeamSettings
    from luban.generate.speculative import Draft
    from luban.models.model import Model
    from luban.tokenizer import Tokenizer

__version__ = "0.1.0"
__all__ = ["generate", "load", "predict", "save"]

# Imports stand inside the functions: `import luban` and `luban --help` must not wait for torch.


def load(folder: str | Path) -> tuple[Model, Tokenizer]:
    """Open a model folder, of Luban or of a supported Hugging Face model, or an adapter folder of PEFT with
    the model that it names."""
    from luban.tasks.opened import open_tuned

    return open_tuned(Path(folder))


def save(model: Model, tokenizer: Tokenizer, folder: str | Path) -> None:
    """Write a model folder that `load` and `transformers` open."""
    from luban.models.load import save_model

    save_model(model, Path(folder))
    tokenizer.save(Path(folder))


def generate(
    model: Model,
    tokenizer: Tokenizer,
    prompts: list[str],
    *,
    beams: BeamSettings | None = None,
    draft: Draft | None = None,
    **settings: Any,
) -> list[str]:
    """Return what the model writes after each prompt; settings are those of `SamplingSettings`.

    beams: the best that a beam search finds. draft: guess tokens ahead, with `Lookup()` or a `DraftModel`.
    """
    from luban.generate import SamplingSettings
    from luban.generate import generate as write

    return write(model, tokenizer, prompts, settings=SamplingSettings(**settings), beams=beams, draft=draft)


def predict(folder: str | Path, rows: Sequence[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Ask the model of a folder: texts, or rows with the columns of its task; an answer for each.

    predict("runs/x", ["a fine film"])[0]["label"]
    """
    from luban.tasks.asking import checked, rows_of_texts
    from luban.tasks.task import open_predictor

    predictor = open_predictor(Path(folder))
    reads = predictor.reads
    asked = [
        rows_of_texts([row], reads, "the list")[0] if isinstance(row, str) else checked(row, reads, "a row")
        for row in rows
    ]
    return predictor.predict(asked) if asked else []
