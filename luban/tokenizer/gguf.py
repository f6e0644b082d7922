"""The tokenizer in a GGUF file's metadata: byte-level BPE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from luban.binary import AGAIN
from luban.errors import CheckpointError
from luban.gguf import Gguf

KEY = "tokenizer.ggml."
ROLES = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "pad": "padding_token_id",
}
CONTROL, USER_DEFINED = 3, 4
"""Types of tokens that are found whole: those that stand for no text, and those that do."""
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 and Qwen 2 cut a text, but for how many digits stay together."""


def _gpt2() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def _smollm() -> Any:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


def _by_words(digits: str) -> Any:
    cut = pre_tokenizers.Split(Regex(WORDS.format(digits=digits)), "isolated")
    return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _llama3() -> Any:
    return _by_words("{1,3}")


def _qwen2() -> Any:
    return _by_words("")


CUTS = {
    "gpt-2": _gpt2,
    "gpt2": _gpt2,
    "smollm": _smollm,
    "llama-bpe": _llama3,
    "llama3": _llama3,
    "llama-v3": _llama3,
    "qwen2": _qwen2,
    "deepseek-r1-qwen": _qwen2,
}
"""tokenizer.ggml.pre → how a text is cut before merging."""
TAKES_WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3")
"""A word that is a token is that token, whatever its merges."""
COMPOSES = ("qwen2", "deepseek-r1-qwen")
"""A letter and its accent are put together first (NFC)."""


def read_gguf_tokenizer(path: Path) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """Return the backend and what tokenizer_config.json would say."""
    file = Gguf(path)
    kind, cut = file.need(f"{KEY}model", str), file.get(f"{KEY}pre", "none", str)
    if kind != "gpt2" or cut not in CUTS:
        what = f"{KEY}model = {kind!r}" if kind != "gpt2" else f"{KEY}pre = {cut!r}"
        raise CheckpointError(
            f"{path}: a tokenizer with {what} is not supported",
            fix=f"supported is byte-level BPE ('gpt2') cut as one of: {', '.join(CUTS)}",
        )
    tokens = file.need(f"{KEY}tokens", list)
    backend = tokenizers.Tokenizer(_bpe(file, tokens, cut))
    backend.normalizer = normalizers.NFC() if cut in COMPOSES else None
    backend.pre_tokenizer = CUTS[cut]()
    backend.decoder = decoders.ByteLevel()
    _add_whole_tokens(backend, file, tokens)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    config |= {f"{role}_token": token for role, token in _roles(file, tokens).items()}
    if template := file.get("tokenizer.chat_template", None, str):
        config["chat_template"] = template
    if "bos_token" in config and file.get(f"{KEY}add_bos_token", cut in TAKES_WHOLE_WORDS, bool):
        bos = config["bos_token"]
        backend.post_processor = processors.TemplateProcessing(
            single=[bos, "$A"],
            pair=[bos, "$A", f"{bos}:1", "$B:1"],
            special_tokens=[(bos, tokens.index(bos))],
        )
    return backend, config


def _bpe(file: Gguf, tokens: list[str], cut: str) -> Any:
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens) or not tokens:
        twice = next((t for i, t in enumerate(tokens) if vocabulary[t] != i), None)
        raise CheckpointError(f"{file.path}: the vocabulary holds {twice!r} twice, or nothing", fix=AGAIN)
    merges = [tuple(merge.split(" ")) for merge in file.need(f"{KEY}merges", list)]
    for merge in merges:
        if len(merge) != 2 or not {*merge, "".join(merge)} <= vocabulary.keys():
            raise CheckpointError(
                f"{file.path}: the merge {merge} is not of two tokens to a third", fix=AGAIN
            )
    return models.BPE(vocabulary, merges, ignore_merges=cut in TAKES_WHOLE_WORDS)


def _add_whole_tokens(backend: tokenizers.Tokenizer, file: Gguf, tokens: list[str]) -> None:
    kinds = file.get(f"{KEY}token_type", [], list)
    if kinds and len(kinds) != len(tokens):
        raise CheckpointError(
            f"{file.path}: {len(kinds)} types of tokens do not match {len(tokens)} tokens", fix=AGAIN
        )
    for kind, is_special in ((CONTROL, True), (USER_DEFINED, False)):
        found = [t for t, k in zip(tokens, kinds, strict=False) if k == kind]
        add = backend.add_special_tokens if is_special else backend.add_tokens
        add([AddedToken(t, special=is_special, normalized=False) for t in found])


def _roles(file: Gguf, tokens: list[str]) -> dict[str, str]:
    roles = {}
    for role, key in ROLES.items():
        id = file.get(KEY + key, None)
        if id is None:
            continue
        if not 0 <= id < len(tokens):
            raise CheckpointError(
                f"{file.path}: {KEY}{key} = {id} is outside the vocabulary of {len(tokens)} tokens", fix=AGAIN
            )
        roles[role] = tokens[id]
    return roles
