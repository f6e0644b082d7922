"""Let a language model go on from a prompt."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def generate(
    folder: Path = typer.Argument(..., help="Model folder: ours, or a supported Hugging Face one."),
    prompts: list[str] = typer.Argument(..., help="One or more prompts; - reads one a line from stdin."),
    max_new_tokens: int = typer.Option(128, help="Stop after so many tokens."),
    temperature: float = typer.Option(0.8, help="Below 1 bolder, above 1 more random; 0: the likeliest."),
    top_k: int = typer.Option(0, help="Choose among the k likeliest tokens; 0: among all."),
    top_p: float = typer.Option(1.0, help="Choose among the tokens that hold this share of the probability."),
    min_p: float = typer.Option(0.0, help="Leave out tokens below this share of the likeliest one."),
    seed: int = typer.Option(1, help="Decides the draws."),
    stop: list[str] = typer.Option([], help="A text that ends the writing; may be repeated."),
    as_json: bool = typer.Option(False, "--json", help="One JSON line a prompt: text, n_tokens, finish."),
) -> None:
    """Go on from a prompt, streaming to the terminal.

    \b
    luban generate runs/x "To be" --max-new-tokens 50 --temperature 0.8 --top-p 0.95 --seed 1
    """
    from luban.generate.settings import SamplingSettings

    settings = SamplingSettings(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        seed=seed,
        stop=tuple(stop),
    )
    asked = [line.rstrip("\r\n") for line in sys.stdin] if prompts == ["-"] else prompts
    from luban import load

    model, tokenizer = load(folder)
    if as_json:
        from luban.generate.writing import write
        from luban.log import Log

        answers = [{"prompt": prompt, "text": "", "n_tokens": 0, "finish": None} for prompt in asked]
        for piece in write(model, tokenizer, asked, settings):
            answer = answers[piece.row]
            answer |= {
                "text": f"{answer['text']}{piece.text}",
                "n_tokens": piece.n_tokens,
                "finish": piece.finish,
            }
        for answer in answers:
            Log(as_json=True).result(answer)
        return
    from luban.generate import stream

    for prompt in asked:
        print(prompt, end="", flush=True)
        for text in stream(model, tokenizer, prompt, settings):
            print(text, end="", flush=True)
        print()
