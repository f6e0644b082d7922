"""Let a language model go on from a prompt, or choose how to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from luban.generate import BeamSettings, SamplingSettings
    from luban.generate.speculative import Draft
    from luban.models.model import Model
    from luban.tokenizer import Tokenizer

USUAL_TEMPERATURE = 0.8


def generate(
    folder: Path = typer.Argument(..., help="Model folder: ours, or a supported Hugging Face one."),
    prompts: list[str] = typer.Argument(..., help="One or more prompts; - reads one a line from stdin."),
    max_new_tokens: int = typer.Option(128, help="Stop after so many tokens."),
    temperature: float | None = typer.Option(None, help="0: the likeliest; above 1: wilder.  [default: 0.8]"),
    top_k: int = typer.Option(0, help="Choose among the k likeliest tokens; 0: among all."),
    top_p: float = typer.Option(1.0, help="Choose among the tokens that hold this share of the probability."),
    min_p: float = typer.Option(0.0, help="Leave out tokens below this share of the likeliest one."),
    repetition_penalty: float = typer.Option(1.0, help="Above 1: tokens of the prompt or the text lose."),
    frequency_penalty: float = typer.Option(0.0, help="A token's score falls by it at each use."),
    presence_penalty: float = typer.Option(0.0, help="A token's score falls by it once it was used."),
    no_repeat_ngram: int = typer.Option(0, help="Write no run of so many tokens twice; 0: off."),
    seed: int = typer.Option(1, help="Decides the draws."),
    stop: list[str] = typer.Option([], help="A text that ends the writing; may be repeated."),
    beams: int = typer.Option(0, help="Search for the likeliest answer among so many beginnings; 0: draw."),
    length_penalty: float = typer.Option(1.0, help="With --beams: above 0 prefers longer answers."),
    suffix: str | None = typer.Option(None, help="Fill in code: what stands after the place, too."),
    choices: str | None = typer.Option(None, help="Choose the likeliest of these: ' yes| no'."),
    draft: Path | None = typer.Option(None, help="A small model to guess tokens ahead."),
    lookup: bool = typer.Option(False, "--lookup", help="Guess ahead by quoting the prompt and the text."),
    as_json: bool = typer.Option(False, "--json", help="One JSON line a prompt: text, n_tokens, finish."),
) -> None:
    """Go on from a prompt, streaming to the terminal; a model with an encoder answers the prompt.

    \b
    luban generate runs/x "To be" --max-new-tokens 50 --temperature 0.8 --top-p 0.95 --seed 1
    luban generate runs/x "To be" --beams 4 --length-penalty 1.2
    luban generate runs/x "The film was fun: a" --choices " good| bad" --json
    luban generate runs/x "Correct: I has a pen." --temperature 0 --lookup
    luban generate runs/code "def add(a" --suffix "):" --temperature 0
    """
    _check_together(beams=beams, choices=choices, draft=draft, lookup=lookup, suffix=suffix)
    from luban.generate import BeamSettings, SamplingSettings

    usual = 1.0 if beams else USUAL_TEMPERATURE
    settings = SamplingSettings(
        max_new_tokens=max_new_tokens, temperature=usual if temperature is None else temperature,
        top_k=top_k, top_p=top_p, min_p=min_p, seed=seed, stop=tuple(stop),
        repetition_penalty=repetition_penalty, no_repeat_ngram=no_repeat_ngram,
        frequency_penalty=frequency_penalty, presence_penalty=presence_penalty,
    )  # fmt: skip
    wide = BeamSettings(n_beams=beams, length_penalty=length_penalty) if beams else None
    asked = [line.rstrip("\r\n") for line in sys.stdin] if prompts == ["-"] else prompts
    if suffix is not None:
        _show(_fill_in(folder, asked, suffix, settings), as_json, with_prompt=True)
        return
    from luban import load

    model, tokenizer = load(folder)
    if choices is not None:
        rows = _choose(model, tokenizer, asked, choices.split("|"))
    elif wide is not None:
        rows = _search(model, tokenizer, asked, settings, wide)
    else:
        guess = _draft(draft, lookup, tokenizer)
        if not as_json:
            _stream(model, tokenizer, asked, settings, guess)
            return
        rows = _write(model, tokenizer, asked, settings, guess)
    _show(rows, as_json, with_prompt=model.encoder is None)


def _check_together(**options: Any) -> None:
    from luban.errors import ConfigError

    given = [f"--{name}" for name, value in options.items() if value or value == ""]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} do not go together", fix="leave all but one of them out")


def _draft(folder: Path | None, lookup: bool, tokenizer: Tokenizer) -> Draft | None:
    from luban import load
    from luban.errors import ConfigError
    from luban.generate import DraftModel, Lookup

    if folder is None:
        return Lookup() if lookup else None
    model, same = load(folder)
    if same.hash != tokenizer.hash:
        raise ConfigError(
            f"{folder} has another tokenizer than the model it should draft for",
            fix="draft with a model that was trained with the same tokenizer",
        )
    return DraftModel(model)


def _fill_in(
    folder: Path, prompts: Sequence[str], suffix: str, settings: SamplingSettings
) -> list[dict[str, Any]]:
    from luban.errors import CheckpointError
    from luban.tasks.code_complete import load_completer

    completer = load_completer(folder)
    if completer.order is None:
        raise CheckpointError(
            f"the tokenizer of {folder} has no marks for infilling: the model would not see the suffix",
            fix="leave --suffix out, or train with luban train --task code",
        )
    texts = completer.complete([(prompt, suffix) for prompt in prompts], settings)
    return [{"prompt": p, "text": t} for p, t in zip(prompts, texts, strict=True)]


def _choose(
    model: Model, tokenizer: Tokenizer, prompts: Sequence[str], choices: Sequence[str]
) -> list[dict[str, Any]]:
    from luban.generate import choose_among

    found = [(prompt, choose_among(model, tokenizer, prompt, choices)) for prompt in prompts]
    return [
        {"prompt": p, "text": f.best, "probabilities": dict(zip(f.texts, f.probabilities, strict=True))}
        for p, f in found
    ]


def _search(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    settings: SamplingSettings,
    beams: BeamSettings,
) -> list[dict[str, Any]]:
    from luban.generate.writing import search

    found = search(model, tokenizer, prompts, settings, beams)
    return [
        {
            "prompt": p,
            "text": best.text,
            "n_tokens": best.n_tokens,
            "finish": best.finish,
            "score": best.score,
        }
        for p, (best, *_) in zip(prompts, found, strict=True)
    ]


def _write(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    settings: SamplingSettings,
    draft: Draft | None,
) -> list[dict[str, Any]]:
    from luban.generate import write

    rows: list[dict[str, Any]] = [{"prompt": p, "text": "", "n_tokens": 0, "finish": None} for p in prompts]
    for piece in write(model, tokenizer, prompts, settings, draft=draft):
        row = rows[piece.row]
        row |= {"text": row["text"] + piece.text, "n_tokens": piece.n_tokens, "finish": piece.finish}
    return rows


def _stream(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    settings: SamplingSettings,
    draft: Draft | None,
) -> None:
    from luban.generate import write

    for prompt in prompts:
        print(prompt if model.encoder is None else "", end="", flush=True)
        for piece in write(model, tokenizer, [prompt], settings, draft=draft):
            print(piece.text, end="", flush=True)
        print()


def _show(rows: list[dict[str, Any]], as_json: bool, with_prompt: bool) -> None:
    from luban.log import Log

    for row in rows:
        if as_json:
            Log(as_json=True).result(row)
        else:
            print(f"{row['prompt'] if with_prompt else ''}{row['text']}")
