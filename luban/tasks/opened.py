"""Model folders opened to be used: whole models, and adapters on the models that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luban.models.model import Model
    from luban.tokenizer import Tokenizer


def open_tuned(folder: Path) -> tuple[Model, Tokenizer]:
    """Open a model folder, or an adapter folder with the model that it names, and its tokenizer."""
    from luban.tokenizer import load_tokenizer
    from luban.tune.load import load_tuned, tokenizer_folder

    # The tokenizer first: quick, and the likelier of the two to be missing.
    tokenizer = load_tokenizer(tokenizer_folder(folder))
    model = load_tuned(folder)
    tokenizer.check_fits(model.config.vocab_size, folder)
    return model, tokenizer
