"""`luban chat`: talk with a model in the terminal."""

from __future__ import annotations

from pathlib import Path

import typer

USUAL_TEMPERATURE = 0.7


def chat(
    folder: Path = typer.Argument(help="Model folder with a chat template: ours or a Hugging Face one."),
    questions: list[str] = typer.Argument(None, help="Questions to answer, one after the other, and end."),
    system: str = typer.Option("", help="System prompt: what the model is told before the conversation."),
    load: Path | None = typer.Option(None, help="Go on with a conversation that /save wrote."),
    max_new_tokens: int = typer.Option(512, help="Stop an answer after so many tokens."),
    temperature: float = typer.Option(USUAL_TEMPERATURE, help="0: the likeliest; above 1: wilder."),
    top_k: int = typer.Option(0, help="Choose among the k likeliest tokens; 0: among all."),
    top_p: float = typer.Option(
        0.95, help="Choose among the tokens that hold this share of the probability."
    ),
    min_p: float = typer.Option(0.0, help="Leave out tokens below this share of the likeliest one."),
    repetition_penalty: float = typer.Option(1.0, help="Above 1: tokens that were said already lose."),
    seed: int = typer.Option(1, help="Decides the draws."),
    stop: list[str] = typer.Option([], help="A text that ends an answer; may be repeated."),
) -> None:
    """Talk with a model: lines you write are answered, /help lists commands, Ctrl-C stops an answer.

    A line that ends in a backslash goes on in the next; lines between two lines of three quotes are one
    message. What a file or a program writes to standard input is answered line by line.

    \b
    luban chat runs/mine
    luban chat runs/mine --system "Answer in one sentence." --temperature 0
    luban chat runs/mine "Who are you?" "And who made you?" --temperature 0
    """
    from luban import load as open_folder
    from luban.cli.chat_session import Session, converse
    from luban.generate import SamplingSettings
    from luban.generate.speaker import Speaker

    settings = SamplingSettings(
        max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
        repetition_penalty=repetition_penalty, seed=seed, stop=tuple(stop),
    )  # fmt: skip
    model, tokenizer = open_folder(folder)
    with Speaker(model, tokenizer) as speaker:
        session = Session(speaker, settings)
        if load is not None:
            session.load(str(load))
        if system:
            session.set_system(system)
        for question in questions or ():
            session.ask(question)
        if not questions:
            converse(session)
