"""Our models inside lm-eval, EleutherAI's evaluation harness: its tasks ask, a model of ours answers.

model, tokenizer = luban.load("runs/x")
lm_eval.simple_evaluate(harness_model(model, tokenizer), tasks=[...])

Texts are encoded, cut and scored as by the harness's own backend for Hugging Face models.
Source of the three requests: its interface, lm_eval.api.model.LM.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from luban.errors import ConfigError, MissingExtra
from luban.evaluate.likelihood import (
    Asked,
    begin_id,
    encode_pair,
    likelihoods,
    rolling,
    surroundings,
)
from luban.generate.settings import SamplingSettings
from luban.generate.writing import read_prompts, write_after
from luban.models.model import Model
from luban.tokenizer import Tokenizer
from luban.tokenizer.chat import ChatTemplate, Message

MAX_NEW_TOKENS = 256
"""How much a task may let write without naming a number, as in the harness."""
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
ROWS_PER_BATCH = 16


class Request(Protocol):
    """What the harness hands over: an `Instance`, of which only the arguments are needed."""

    @property
    def args(self) -> tuple[Any, ...]:
        """Return the arguments of the request."""


class Answers:
    """Answers the harness's three kinds of request; by itself it does not need the harness."""

    def __init__(self, model: Model, tokenizer: Tokenizer):
        # A chat template writes special tokens as text, and the harness reads them so in any text.
        self._model, self._luban_tokenizer = model, tokenizer.with_specials()

    def loglikelihood(
        self, requests: Sequence[Request], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Return for each (context, rest) the rest's log-probability, and whether greedy writing gives it."""
        model, tokenizer = self._model, self._luban_tokenizer
        asked = [encode_pair(model, tokenizer, *request.args) for request in requests]
        found = likelihoods(model, asked, around=surroundings(tokenizer))
        return [(one.log_probability, one.is_greedy) for one in found]

    def loglikelihood_rolling(self, requests: Sequence[Request], disable_tqdm: bool = False) -> list[float]:
        """Return the log-probability of each whole text, however long, every token predicted once."""
        model, tokenizer = self._model, self._luban_tokenizer
        begin = begin_id(tokenizer)
        texts = tokenizer.encode_batch([request.args[0] for request in requests])
        pieces = [rolling(ids, begin, model.config.max_len) for ids in texts]
        asked: list[Asked] = [piece for text in pieces for piece in text]
        each = iter(likelihoods(model, asked, around=surroundings(tokenizer)))
        return [sum(next(each).log_probability for _ in text) for text in pieces]

    def generate_until(self, requests: Sequence[Request], disable_tqdm: bool = False) -> list[str]:
        """Return what the model writes after each (context, settings), up to a stop text."""
        texts: list[str] = [""] * len(requests)
        for settings, numbers in _by_settings(requests):
            for batch in self._batches(numbers, requests):
                for i, text in zip(
                    batch, self._write([requests[i].args[0] for i in batch], settings), strict=True
                ):
                    texts[i] = text
        return texts

    def apply_chat_template(self, chat_history: list[Message], add_generation_prompt: bool = True) -> str:
        """Return a conversation as the model's own template writes it."""
        with ChatTemplate(self._luban_tokenizer) as template:
            return template.render(chat_history, prompt=add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the template that is used, for the harness's records."""
        return self._luban_tokenizer.chat_template if chat_template else ""

    @property
    def tokenizer_name(self) -> str:
        """Name under which the harness keeps requests that a chat template has shaped."""
        return f"luban-{self._luban_tokenizer.hash[:16]}"

    def _batches(self, numbers: Sequence[int], requests: Sequence[Request]) -> Iterator[list[int]]:
        ordered = sorted(numbers, key=lambda i: -len(requests[i].args[0]))
        for start in range(0, len(ordered), ROWS_PER_BATCH):
            yield ordered[start : start + ROWS_PER_BATCH]

    def _write(self, contexts: Sequence[str], settings: SamplingSettings) -> list[str]:
        model, tokenizer = self._model, self._luban_tokenizer
        asked = read_prompts(model, tokenizer, contexts)
        if model.config.encoder is None:
            room = model.config.max_len - settings.max_new_tokens
            if room < 1:
                raise ConfigError(
                    f"a task lets {settings.max_new_tokens} tokens be written, and the model reads "
                    f"{model.config.max_len} in all",
                    fix="lower max_gen_toks in the task's generation_kwargs",
                )
            asked = type(asked)([ids[-room:] for ids in asked.ids])
        texts = [""] * len(contexts)
        for piece in write_after(model, tokenizer, asked, settings):
            texts[piece.row] += piece.text
        return texts


def harness_model(model: Model, tokenizer: Tokenizer) -> Any:
    """Return an `lm_eval.api.model.LM` for `lm_eval.simple_evaluate`."""
    lm = load_harness("lm_eval.api.model").LM

    def __init__(self: Any) -> None:
        lm.__init__(self)
        Answers.__init__(self, model, tokenizer)

    return type("LubanLM", (Answers, lm), {"__init__": __init__})()


def load_harness(module: str) -> Any:
    """Import a part of lm-eval, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as e:
        if e.name != "lm_eval":
            raise
        raise MissingExtra("lm-eval", "harness") from None


def sampling(given: Mapping[str, Any]) -> SamplingSettings:
    """Return our settings for the `generation_kwargs` of a task: greedy unless it says do_sample."""
    until = given.get("until") or []
    stops = (until,) if isinstance(until, str) else tuple(until)
    n_new = next((given[name] for name in LENGTHS if given.get(name) is not None), MAX_NEW_TOKENS)
    drawn = bool(given.get("do_sample", (given.get("temperature") or 0) > 0))
    return SamplingSettings(
        max_new_tokens=int(n_new),
        temperature=float(given.get("temperature") or 1.0) if drawn else 0.0,
        top_k=int(given.get("top_k") or 0) if drawn else 0,
        top_p=float(given.get("top_p") or 1.0) if drawn else 1.0,
        stop=tuple(text for text in stops if text),
    )


def _by_settings(requests: Sequence[Request]) -> list[tuple[SamplingSettings, list[int]]]:
    groups: dict[SamplingSettings, list[int]] = {}
    for i, request in enumerate(requests):
        groups.setdefault(sampling(request.args[1]), []).append(i)
    return list(groups.items())
