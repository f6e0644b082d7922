"""Write text with a decoder, or an encoder and a decoder: draws, beam search, guesses ahead, choices.

decode: the loop over token ids. writing: prompts in, text out. beam, speculative, choice: see there.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from luban.generate.beam import BeamSettings
from luban.generate.choice import Choices, choose_among, write_choice
from luban.generate.settings import SamplingSettings
from luban.generate.speculative import Draft, DraftModel, Lookup
from luban.generate.writing import Written, generate, stream, write

if TYPE_CHECKING:
    from luban.models.model import Model
    from luban.tokenizer import Tokenizer

__all__ = [
    "BeamSettings",
    "Choices",
    "DraftModel",
    "Lookup",
    "SamplingSettings",
    "Written",
    "choose_among",
    "generate",
    "stream",
    "write",
    "write_choice",
]


class _CallablePackage(ModuleType):
    """Keeps `luban.generate(...)` a call: importing this package puts it where that function was."""

    def __call__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        prompts: list[str],
        *,
        beams: BeamSettings | None = None,
        draft: Draft | None = None,
        **settings: Any,
    ) -> list[str]:
        chosen = SamplingSettings(**settings)
        return generate(model, tokenizer, prompts, settings=chosen, beams=beams, draft=draft)


sys.modules[__name__].__class__ = _CallablePackage
