"""`luban tokenizer`: train one, and see how it cuts a text up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from luban.tokenizer import Tokenizer

app = typer.Typer(help="Train a tokenizer, and see how it cuts a text up.", no_args_is_help=True)


@app.command("train")
def train(
    documents: Path = typer.Argument(help="Documents folder that `luban data split` wrote."),
    out: Path = typer.Option(help="Folder to write, in the Hugging Face layout."),
    config: Path | None = typer.Option(None, help="YAML file with settings under `tokenizer:`."),
    sets: list[str] = typer.Option(
        [], "--set", help="tokenizer.KEY=VALUE, such as tokenizer.vocab_size=8000."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print settings and time; do nothing."),
    as_json: bool = typer.Option(False, "--json", help="JSON lines; the last has the counts."),
) -> None:
    """Train a byte-level BPE on the train split of DOCUMENTS.

    Every language weighs equally; the bytes that a token stands for are shown for each.

    \b
    Example:
      luban tokenizer train data/split --out data/tokenizer --set tokenizer.vocab_size=8000
    """
    from luban.cli.stage import one_stage, run_stage
    from luban.log import Log

    log = Log(as_json=as_json)
    recipe = one_stage("tokenizer", "tokenizer", {"documents": documents}, out, config=config, sets=sets)
    result = run_stage(recipe, log, dry_run=dry_run)
    if result is None:
        return
    facts = result.manifest.facts
    if as_json:
        shown = {key: facts[key] for key in ("counts", "bytes_per_token")}
        log.result({"stage": "tokenizer", "status": result.status, "out": str(out), **shown})
        return
    counts = facts["counts"]
    print(f"{counts['vocab_size']:,} tokens from {counts['documents']:,} documents → {out}")
    for language, value in facts["bytes_per_token"].items():
        print(f"  {language}: {value:.2f} bytes per token")


@app.command("show")
def show(
    folder: Path = typer.Argument(help="Tokenizer or model folder: ours or a Hugging Face one."),
    text: str = typer.Argument(help="Text to cut up."),
    special: bool = typer.Option(False, "--special", help="Frame the text as the tokenizer's template does."),
    as_json: bool = typer.Option(False, "--json", help="One JSON line with ids and pieces."),
) -> None:
    """Show the tokens of TEXT with their ids; ␣ is a space, ⏎ a new line.

    A character that the vocabulary must spell in parts appears as its bytes, such as 龘 as e9 be 98.

    \b
    Example:
      luban tokenizer show data/tokenizer "今天天气很好 and fine"
    """
    from luban.log import Log
    from luban.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(folder)
    ids = tokenizer.encode(text, special=special)
    if as_json:
        pieces = [tokenizer.piece(i) for i in ids]
        Log(as_json=True).result({"ids": ids, "pieces": pieces, "bytes": len(text.encode())})
    else:
        _print_pieces(tokenizer, text, ids)


def visible(piece: str) -> str:
    """Return a token's text with its spaces to be seen."""
    return piece.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍")


def _print_pieces(tokenizer: Tokenizer, text: str, ids: list[int]) -> None:
    from rich.console import Console
    from rich.text import Text

    shades = ("on #23395d", "on #5b2333") if Console().color_system else ("", "")
    line = Text()
    for i, id in enumerate(ids):
        if i:
            line.append(" ")
        style = "bold yellow" if id in tokenizer.special_ids else shades[i % 2]
        line.append(visible(tokenizer.piece(id)), style)
        line.append(f" {id}", "dim")
    Console().print(line, soft_wrap=True)
    n_bytes, n_tokens = len(text.encode("utf-8", "replace")), len(ids)
    print(f"{n_tokens} tokens, {len(text)} characters, {n_bytes / max(n_tokens, 1):.2f} bytes a token")
