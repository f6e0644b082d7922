"""`luban advise`: which model to train on your data, how, and why."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from luban.plan.advise import Advice
    from luban.plan.facts import Facts, Wishes
    from luban.tasks.settings import ColumnSettings

MEASURED = ("classify", "pretrain")
"""Tasks whose advice needs data."""


def advise(
    task: str = typer.Option(
        help="classify, pretrain, qa, translate, chat, search, speech or tag; some cannot be trained yet."
    ),
    data: Path | None = typer.Option(
        None, help="What you would train on: labelled rows (classify), texts or shards (pretrain)."
    ),
    languages: list[str] = typer.Option(
        [], help="Language codes, such as zh or en,zh; found in labelled rows by themselves."
    ),
    minutes: float = typer.Option(60.0, help="Longest training on this machine's cores."),
    model_limit: float = typer.Option(
        math.inf, help="Largest model, in millions of parameters.", show_default=False
    ),
    model: str | None = typer.Option(None, help="A pretrained model folder that you have."),
    eval_data: Path | None = typer.Option(None, "--eval", help="For classify: rows to validate on."),
    sets: list[str] = typer.Option([], "--set", help="train.columns.KEY=NAME: where text and label are."),
    out: Path = typer.Option(Path("runs/advised"), help="Folder that the advised command writes."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line."),
) -> None:
    """Say which model to train on your data, how, why, and with which command.

    The data are measured, nothing is trained. Each reason names its source: a paper, or figures
    measured with Luban.

    \b
    Examples:
      luban advise --task classify --data train.csv --languages zh
      luban advise --task pretrain --data texts/ --minutes 600 --json
    """
    from dataclasses import replace

    from luban.cli.measure import find_languages
    from luban.log import Log
    from luban.plan.advise import advise as find_advice
    from luban.plan.facts import Wishes, read_languages

    wishes = Wishes(
        task=task,
        data=str(data or "DATA"),
        languages=read_languages(languages),
        minutes=minutes,
        model_limit=model_limit,
        out=str(out),
        sets=tuple(sets),
        more={"--eval": str(eval_data)} if eval_data else {},
    )
    facts, texts = _measure(task, data, _columns(sets), eval_data, model)
    if texts and not languages:
        wishes = replace(wishes, languages=find_languages(texts))
    advice = find_advice(facts, wishes)
    if as_json:
        Log(as_json=True).result(_row(advice, facts, wishes))
    else:
        _print(advice, facts, wishes)


def _measure(
    task: str, data: Path | None, columns: ColumnSettings, eval_data: Path | None, model: str | None
) -> tuple[Facts, list[str]]:
    """Return the facts of data, machine and model, and the labelled texts."""
    from luban.cli import measure
    from luban.errors import ConfigError
    from luban.plan.facts import Facts

    found: dict[str, Any] = {}
    texts: list[str] = []
    if data is None and task in MEASURED:
        raise ConfigError(f"--task {task} needs --data to advise on", fix="add --data FILE")
    if task == "classify" and data:
        found, texts = measure.measure_rows(data, columns, eval_data)
    elif data:
        found = (measure.measure_text if task == "pretrain" else measure.count_rows)(data)
    given = measure.measure_model(model) if model else None
    return Facts(**found, **measure.measure_machine(), given=given), texts


def _columns(sets: list[str]) -> ColumnSettings:
    from luban.config import Tree, fill, override
    from luban.errors import ConfigError
    from luban.tasks.settings import ColumnSettings

    for text in sets:
        if not text.startswith("train.columns."):
            raise ConfigError(
                f"--set {text} is no column", fix="set train.columns.text, train.columns.label or .split"
            )
    tree = override(Tree({}), sets).branch("train").branch("columns")
    return fill(ColumnSettings, tree, "train.columns")


def _row(advice: Advice, facts: Facts, wishes: Wishes) -> dict[str, Any]:
    from dataclasses import asdict

    from luban.cli.measure import plain

    row = asdict(advice)
    return row | {
        "minutes": round(advice.minutes, 2),
        "languages": list(wishes.languages),
        "facts": plain(facts),
    }


def _print(advice: Advice, facts: Facts, wishes: Wishes) -> None:
    shape = " ".join(filter(None, (advice.family, advice.size)))
    shape += "".join(f", {key} {value}" for key, value in advice.changes.items())
    if advice.parameters:
        shape += f" ({advice.parameters / 1e6:,.1f} million parameters)"
    method = advice.method + (f": {advice.start}" if advice.start else "")
    rows = [
        ("data", _describe(facts, wishes)),
        ("method", method if advice.is_available else f"{method}; not in Luban yet"),
        ("model", shape),
        ("objective", advice.objective),
    ]
    if advice.is_available:
        rows.append(("time", f"about {max(advice.minutes, 0.1):,.1f} minutes"))
    for name, value in rows:
        print(f"{name:<10} {value}")
    print("\nwhy")
    for reason in advice.reasons:
        print(f"- {reason.text}\n  [{reason.source}]")
    if advice.first:
        print("\nfirst" if advice.is_available else "\nuntil then")
        for line in advice.first:
            print(line)
    if advice.command:
        print(f"\nthen\n{advice.command}" if advice.first else f"\nrun\n{advice.command}")


def _describe(facts: Facts, wishes: Wishes) -> str:
    parts = [
        f"{facts.rows:,} rows" if facts.rows else "",
        f"{facts.classes} classes, the rarest with {facts.smallest:,} rows" if facts.classes else "",
        f"{facts.mean_chars:,.0f} characters a text" if facts.mean_chars else "",
        f"about {facts.tokens:,} tokens" if facts.tokens else "",
        ", ".join(wishes.languages),
    ]
    return "; ".join(filter(None, parts)) or "not looked at"
