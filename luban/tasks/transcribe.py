"""Speech to text with a Whisper model: recognition, or translation into English.

Source: arXiv:2212.04356, and the decoding of its reference implementation for the tokens left out.
"""

from __future__ import annotations

import re
from typing import Literal

import torch
from torch import Tensor

from luban.data.audio import log_mel
from luban.errors import CheckpointError, ConfigError, DataError
from luban.generate.decode import decode
from luban.generate.reader import Prompts
from luban.generate.rules import Suppressed
from luban.generate.settings import SamplingSettings
from luban.models.model import Model
from luban.tokenizer import Tokenizer

START, NO_TIMES, END = "<|startoftranscript|>", "<|notimestamps|>", "<|endoftext|>"
LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
ENGLISH_VOCABULARY = 51_864
"""Tokens of the models that know English alone; all others have more."""
CONTROLS = (
    START,
    *(f"<|{name}|>" for name in "translate transcribe startoflm startofprev nocaptions nospeech".split()),
)
NOTES = "♩♪♫♬♭♮♯"
NOISES = (
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』',
    *"<< >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪".split(),
    *NOTES,
)
"""What nobody says: brackets around remarks, music, speaker marks."""


def transcribe(
    model: Model,
    tokenizer: Tokenizer,
    sound: Tensor,
    language: str | None = None,
    task: Literal["transcribe", "translate"] = "transcribe",
) -> str:
    """Return what is said in a sound at 16 kHz, (n_samples,), of at most 30 s.

    `language` is a code such as "zh"; None lets the model tell. `task` "translate" writes English.
    """
    if model.config.source != "audio":
        raise CheckpointError(
            f"this {model.config.family} model does not read sound", fix="name a whisper model"
        )
    if task not in ("transcribe", "translate"):
        raise ConfigError(f"task = {task!r} is unknown", fix="choose transcribe or translate")
    mel = log_mel([sound], model.config.n_mels)
    prompt = [_id(tokenizer, START)]
    if model.config.vocab_size > ENGLISH_VOCABULARY:
        spoken = language or _likeliest_language(model, tokenizer, mel)
        prompt += [_language_id(tokenizer, spoken), _id(tokenizer, f"<|{task}|>")]
    elif language not in (None, "en") or task == "translate":
        raise ConfigError(
            f"language = {language!r}, task = {task!r}: this model knows English alone",
            fix="use a model of several languages, such as whisper-base",
        )
    prompt.append(_id(tokenizer, NO_TIMES))
    settings = SamplingSettings(temperature=0.0, max_new_tokens=model.config.max_len)
    rules, ends = [suppressed(tokenizer)], [_id(tokenizer, END)]
    [ids] = decode(model, Prompts([prompt], mel), settings, rules=rules, end_ids=ends)
    return tokenizer.decode([i for i in ids if i <= prompt[-1]]).strip()  # above it are times


def detect_language(model: Model, tokenizer: Tokenizer, sound: Tensor) -> str:
    """Return the code of the language that is likeliest spoken, such as "zh"."""
    return _likeliest_language(model, tokenizer, log_mel([sound], model.config.n_mels))


def suppressed(tokenizer: Tokenizer) -> Suppressed:
    """Return the rule that forbids what nobody says, the model's own controls, and an empty beginning."""
    noises = {tokenizer.encode(text)[0] for text in (" -", " '")}
    for noise in NOISES:
        for ids in (tokenizer.encode(noise), tokenizer.encode(f" {noise}")):
            if len(ids) == 1 or noise in NOTES:
                noises.add(ids[0])
    controls = {i for token in CONTROLS if (i := tokenizer.token_id(token)) is not None}
    return Suppressed(tuple(sorted(noises | controls)), (*tokenizer.encode(" "), _id(tokenizer, END)))


@torch.no_grad()
def _likeliest_language(model: Model, tokenizer: Tokenizer, mel: Tensor) -> str:
    ids = {name: _language_id(tokenizer, name) for name in _languages(tokenizer)}
    parameter = next(model.parameters())
    start = torch.tensor([[_id(tokenizer, START)]], device=parameter.device)
    scores = model(start, source=mel.to(parameter))[0, -1]
    return max(ids, key=lambda name: float(scores[ids[name]]))


def _languages(tokenizer: Tokenizer) -> list[str]:
    tokens = (LANGUAGE.fullmatch(tokenizer.token(i)) for i in sorted(tokenizer.special_ids))
    return [found[1] for found in tokens if found]


def _language_id(tokenizer: Tokenizer, language: str) -> int:
    id = tokenizer.token_id(f"<|{language}|>")
    if id is None or not LANGUAGE.fullmatch(f"<|{language}|>"):
        raise DataError(
            f"language = {language!r} is not one of this model's",
            fix=f"choose among: {', '.join(_languages(tokenizer))}",
        )
    return id


def _id(tokenizer: Tokenizer, token: str) -> int:
    id = tokenizer.token_id(token)
    if id is None:
        raise CheckpointError(
            f"the tokenizer has no {token}, which a speech model needs", fix="use the model's own tokenizer"
        )
    return id
