"""Chat formats for a tokenizer that has none: a template, and the special tokens that it is written with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tokenizers

from luban.config import nearest
from luban.errors import ConfigError
from luban.tokenizer.load import Tokenizer

FOLDER = Path(__file__).parent.parent / "bundled" / "templates"


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """The tokens of a format. Each template names the source that it follows."""

    tokens: tuple[str, ...]
    """Added where the tokenizer lacks them."""
    end: str
    """Ends an answer; "" is the tokenizer's own end token."""
    bos: str = ""
    """Begins a conversation, where the tokenizer has no such token."""


_CHATML = ChatFormat(("<|im_start|>", "<|im_end|>"), "<|im_end|>")
FORMATS = {
    "chatml": _CHATML,
    "smollm2": _CHATML,
    "qwen2.5": _CHATML,
    "qwen3": _CHATML,
    "llama2": ChatFormat((), "", "<s>"),
    "llama3": ChatFormat(
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "<|eot_id|>", "<|begin_of_text|>"
    ),
    "mistral": ChatFormat(
        (
            "[INST]",
            "[/INST]",
            "[TOOL_CALLS]",
            "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]",
            "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]",
        ),
        "",
        "<s>",
    ),
    "gemma": ChatFormat(("<start_of_turn>", "<end_of_turn>"), "<end_of_turn>", "<bos>"),
    "luban": ChatFormat(
        ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|call|>", "<|end|>"), "<|end|>"
    ),
}
USUAL_END = "</s>"


def read_template(name: str) -> str:
    """Return the template of a format."""
    if name not in FORMATS:
        raise ConfigError(f"there is no chat format {name!r}", fix=nearest(name, sorted(FORMATS)))
    return (FOLDER / f"{name}.jinja").read_text("utf-8")


def with_format(tokenizer: Tokenizer, name: str) -> Tokenizer:
    """Return the tokenizer with a chat format; tokens that it lacks stand behind those it has.

    The token that ends an answer becomes its end token, so that whoever writes with it stops there.
    """
    template, chat = read_template(name), FORMATS[name]
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend_json)
    roles = {}
    if chat.bos and tokenizer.bos_id is None:
        roles["bos_token"] = chat.bos
    end = chat.end or (USUAL_END if tokenizer.eos_id is None else tokenizer.token(tokenizer.eos_id))
    roles["eos_token"] = end
    if tokenizer.pad_id is None and tokenizer.eos_id is not None and end != tokenizer.token(tokenizer.eos_id):
        roles["pad_token"] = tokenizer.token(tokenizer.eos_id)
    backend.add_special_tokens([*dict.fromkeys((*roles.values(), *chat.tokens))])
    return Tokenizer(backend, {**tokenizer.config, **roles, "chat_template": template})
