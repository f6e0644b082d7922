"""Write text with a decoder: sampling settings, the choice of a token, the decoding loop."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from luban.generate.settings import SamplingSettings
from luban.generate.writing import Written, generate, stream, write

if TYPE_CHECKING:
    from luban.models.model import Model
    from luban.tokenizer import Tokenizer

__all__ = ["SamplingSettings", "Written", "generate", "stream", "write"]


class _CallablePackage(ModuleType):
    """Keeps `luban.generate(...)` a call: importing this package puts it where that function was."""

    def __call__(self, model: Model, tokenizer: Tokenizer, prompts: list[str], **settings: Any) -> list[str]:
        return generate(model, tokenizer, prompts, settings=SamplingSettings(**settings))


sys.modules[__name__].__class__ = _CallablePackage
