"""`luban inspect`: look at what a model is really trained on, and at what its words are near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from luban.data.batches import Windows
    from luban.data.xray import Finding, TokenView
    from luban.files import Manifest
    from luban.records import Batch
    from luban.tasks.corrupted import CorruptedWindows
    from luban.tokenizer import Tokenizer

app = typer.Typer(help="Look at a model's batches, and at the neighbours of its words.", no_args_is_help=True)


@app.callback()
def _inspect() -> None:
    """Look at a model's batches, and at the neighbours of its words."""


@app.command("batch")
def batch(
    data: Path = typer.Argument(
        help="Shards folder, labelled rows, or a run of `luban train`, chat too, whose settings hold."
    ),
    step: int = typer.Option(1, min=1, help="Training step to look at."),
    row: int = typer.Option(0, min=0, help="Row of that step to print."),
    tokenizer: Path | None = typer.Option(None, help="For rows: tokenizer folder."),
    model: Path | None = typer.Option(None, help="For rows: model folder, for its tokenizer and length."),
    config: Path | None = typer.Option(None, help="YAML file with settings under `train:`."),
    sets: list[str] = typer.Option([], "--set", help="train.KEY=VALUE, such as train.context=128."),
    as_json: bool = typer.Option(False, "--json", help="JSON lines: tokens, checks, and a summary."),
) -> None:
    """Print every token of a real batch with what the model learns there; fail on silent mistakes.

    Exit code 3 if a check fails: a row without targets, end tokens never supervised, a doubled
    beginning, PAD = EOS masked, text cut away, documents that attend to each other, training rows
    in the test split.

    \b
    Examples:
      luban inspect batch data/shards --step 3 --row 2
      luban inspect batch rows.jsonl.gz --tokenizer data/tokenizer --set train.max_len=64
      luban inspect batch runs/x
    """
    from luban.data.xray import require, view_row
    from luban.log import Log

    seen = _look(data, step, tokenizer or model, model, (config, sets))
    shown, place = _find_row(seen.batches, row, step)
    tokens = view_row(shown, place, seen.tokenizer)
    label = seen.labels[int(shown.targets[place])] if seen.labels else None
    if as_json:
        _print_json(Log(as_json=True), tokens, seen.findings, {"step": step, "row": row, "label": label})
    else:
        n_rows = sum(len(b.tokens) for b in seen.batches)
        _print_row(tokens, f"step {step}, row {row} of {n_rows}, sample {shown.ids[place]}", label)
        _print_findings(seen.findings)
    require(seen.findings)


@app.command("neighbours")
def neighbours(
    words: list[str] = typer.Argument(help="Words to look up; each by itself."),
    model: Path = typer.Option(help="Model folder, or a file of word vectors (word2vec or GloVe; .gz too)."),
    plus: list[str] = typer.Option([], help="Add this word's vector to that of WORDS."),
    minus: list[str] = typer.Option([], help="Take this word's vector away."),
    n: int = typer.Option(10, "-n", min=1, help="Neighbours to show."),
    as_json: bool = typer.Option(False, "--json", help="One JSON line for each word."),
) -> None:
    """Show which words have vectors that point the same way, by cosine.

    With --plus and --minus, the words form one sum: what is to king as woman is to man.

    \b
    Examples:
      luban inspect neighbours river mountain --model runs/words
      luban inspect neighbours king --minus man --plus woman --model glove.6B.100d.txt.gz
    """
    from luban.log import Log
    from luban.models.neighbours import neighbours as nearest
    from luban.tasks.word_vectors import word_vectors

    log = Log(as_json=as_json)
    known, matrix = word_vectors(model, Log(quiet=as_json))
    questions = [[*words, *plus]] if plus or minus else [[word] for word in words]
    for added in questions:
        found = nearest(known, matrix, added, minus, n)
        asked = " ".join([" + ".join(added), *(f"- {word}" for word in minus)])
        if as_json:
            log.result({"word": asked, "neighbours": [{"word": w, "cosine": round(c, 6)} for w, c in found]})
        else:
            _print_neighbours(asked, found)


@dataclass(frozen=True, slots=True)
class Seen:
    """One step's batches, and what the checks say of them."""

    batches: list[Batch]
    findings: list[Finding]
    tokenizer: Tokenizer
    labels: Sequence[str]
    """Names of the labels; none for a language model."""


def _look(
    data: Path, step: int, tokenizer: Path | None, model: Path | None, given: tuple[Path | None, list[str]]
) -> Seen:
    from luban.errors import DataError
    from luban.files import Manifest

    manifest = Manifest.read(data) if data.is_dir() else None
    made_by = manifest.stage if manifest else None
    inputs = {k: Path(v["path"]) for k, v in manifest.inputs.items()} if manifest else {}
    if made_by == "pretrain":
        from luban.tasks.windows import shard_folders

        folders = shard_folders(inputs)
        return _look_at_windows(folders, step, _settings("pretrain", manifest, given), data)
    if made_by == "classify":
        settings = _settings("classify", manifest, given)
        return _look_at_rows(inputs["data"], inputs.get("eval"), step, data, data, settings)
    if made_by == "chat":
        return _look_at_talks(inputs, step, _settings("chat", manifest, given), data)
    if list(data.glob("*.offsets.npy")):
        return _look_at_windows([data], step, _settings("pretrain", None, given))
    if data.is_file():
        return _look_at_rows(data, None, step, tokenizer, model, _settings("classify", None, given))
    raise DataError(
        f"{data} holds no batches" if data.exists() else f"{data} does not exist",
        fix="name a shards folder, a file of labelled rows, or a folder that `luban train` wrote",
    )


def _settings(use: str, manifest: Manifest | None, given: tuple[Path | None, list[str]]) -> Any:
    from luban.config import Tree, fill, load_yaml, override
    from luban.stages import STAGES

    config, sets = given
    tree = load_yaml(config) if config else Tree({})
    made_with = {"train": manifest.settings if manifest else {}}
    tree = Tree({"train": {**made_with["train"], **(tree.data.get("train") or {})}}, tree.places)
    return fill(STAGES[use].settings_class(), override(tree, sets).branch("train"), "train")


def _look_at_windows(folders: list[Path], step: int, settings: Any, model: Path | None = None) -> Seen:
    from luban.data import xray
    from luban.data.shards import end_id
    from luban.tasks.windows import training_windows
    from luban.tokenizer import load_tokenizer

    shards, windows = folders[0], training_windows(folders, settings)
    tokenizer = load_tokenizer(shards / "tokenizer")
    end = end_id(tokenizer, shards / "tokenizer")
    batches = windows.at(step)
    findings = xray.merge([xray.check_windows(b, tokenizer, end) for b in batches])
    pairs = [(folder, other) for folder in folders for other in ("test", "validation")]
    findings += [xray.shards_share_no_document(folder, other) for folder, other in pairs]
    if hidden := _hidden(windows, settings, model, tokenizer, end):
        batches = hidden.at(step)
        silent = xray.merge([xray.padding_is_silent(b)] for b in batches)
        findings = [f for f in findings if f.check != silent[0].check] + silent
    return Seen(batches, findings, tokenizer, ())


def _hidden(
    windows: Windows, settings: Any, model: Path | None, tokenizer: Tokenizer, end: int
) -> CorruptedWindows | None:
    """Return the windows as an objective that hides a part of them shows them to the model."""
    from luban.errors import ConfigError
    from luban.models.folder import read_config
    from luban.tasks.corrupted import CorruptedWindows
    from luban.tasks.infill import with_marks
    from luban.tasks.pretrain_objective import choose_objective, corruption

    if model is None and settings.objective in ("auto", "next_token"):
        return None
    if model is None:
        raise ConfigError(
            f"what train.objective = {settings.objective} hides depends on the model",
            fix="name the folder that `luban train` wrote, instead of the shards",
        )
    config = read_config(model)
    objective = choose_objective(settings.objective, config)
    tokenizer = with_marks(tokenizer) if objective == "fill_in_the_middle" else tokenizer
    corrupt = corruption(objective, config, tokenizer, end, settings)
    return CorruptedWindows(windows, corrupt, tokenizer.pad_id or 0) if corrupt else None


def _look_at_rows(
    data: Path, eval_data: Path | None, step: int, tokenizer: Path | None, model: Path | None, settings: Any
) -> Seen:
    from luban.data import xray
    from luban.data.batches import Bucketed
    from luban.data.examples import read_examples
    from luban.errors import ConfigError
    from luban.tasks.sequences import encode_texts
    from luban.tokenizer import load_tokenizer

    if tokenizer is None:
        raise ConfigError(
            f"{data} holds text, which needs a tokenizer", fix="add --tokenizer FOLDER or --model FOLDER"
        )
    pieces = load_tokenizer(tokenizer)
    examples = read_examples(data, settings.columns, eval_path=eval_data)
    rows_used = examples.train
    if settings.train_rows is not None:
        from luban.tasks.classify import train_rows  # the rows that training drew, not a second opinion

        rows_used = train_rows(examples, settings)
    labels = [label for label in examples.labels if label in {e.label for e in rows_used}]
    max_len = min(settings.max_len, _max_len(model)) if model else settings.max_len
    encoded = encode_texts(pieces, [e.text for e in rows_used], max_len)
    rows = Bucketed(
        encoded.ids,
        [labels.index(e.label) for e in rows_used],
        tokens_per_batch=settings.tokens_per_batch,
        seed=settings.seed,
        n_micro_batches=settings.n_micro_batches,
        pad_id=pieces.pad_id or 0,
    )
    batches = rows.at(step)
    train, test = ([e.text for e in part] for part in (rows_used, examples.test))
    findings = xray.merge([xray.check_rows(b, pieces, len(labels)) for b in (*batches, *rows.in_order())])
    findings += [
        xray.texts_are_whole(encoded.n_cut, len(encoded.ids), max_len),
        xray.splits_share_no_text(train, test),
        xray.leaks_were_removed(examples.rejects),
    ]
    return Seen(batches, findings, pieces, labels)


def _look_at_talks(inputs: dict[str, Path], step: int, settings: Any, made: Path) -> Seen:
    """Read the conversations as the run did that left the folder `made`, with its format."""
    from luban.data import xray
    from luban.tasks.chat_rows import packed, read_chat_rows
    from luban.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(made)
    rows = read_chat_rows(inputs, settings, tokenizer, min(settings.max_len, _max_len(made)))
    batches = packed(rows.train, settings, tokenizer.pad_id)
    checked = [*batches.at(step), *batches.in_order()]
    checks = (xray.rows_have_targets, xray.targets_follow, xray.padding_is_silent)
    findings = xray.merge([[check(b) for check in checks] for b in checked])
    findings += xray.merge([[xray.answers_end(b, tokenizer.special_ids)] for b in checked])
    return Seen(batches.at(step), findings, tokenizer, ())


def _max_len(model: Path) -> int:
    from luban.models.folder import read_config

    return read_config(model).max_len


def _find_row(batches: Sequence[Batch], row: int, step: int) -> tuple[Batch, int]:
    from luban.errors import ConfigError

    place = row
    for shown in batches:
        if place < len(shown.tokens):
            return shown, place
        place -= len(shown.tokens)
    raise ConfigError(f"--row {row}: step {step} has {row - place} rows", fix=f"use 0 to {row - place - 1}")


def _print_json(log: Any, tokens: Sequence[TokenView], findings: Sequence[Finding], where: Any) -> None:
    for token in tokens:
        log.result(asdict(token))
    for finding in findings:
        log.result(asdict(finding))
    failed = [f.check for f in findings if f.blocks and not f.ok]
    log.result({**where, "passed": not failed, "failed": failed})


def _print_row(tokens: Sequence[TokenView], title: str, label: str | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from luban.cli.tokenizer import visible

    n_supervised = sum(t.supervised for t in tokens)
    n_padding = sum(t.role == "padding" for t in tokens)
    learns = f"label {label!r}" if label is not None else f"{n_supervised} supervised"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("position", "document"):
        table.add_column(name, justify="right")
    for name in ("token", "role", "learns", "target"):
        table.add_column(name, overflow="fold")
    for t in tokens:
        if t.role == "padding" or label is None:
            says = "supervised" if t.supervised else "ignored"
            style = "bright_black" if t.role == "padding" else "green" if t.supervised else "dim"
        else:
            says, style = "read", ""
        cells = (str(t.position), str(t.document), visible(t.piece), t.role, says, visible(t.target or ""))
        table.add_row(*(Text(cell) for cell in cells), style=style)
    console = Console()
    console.print(Text(f"{title}: {len(tokens)} tokens, {learns}, {n_padding} padding", style="bold"))
    console.print(table)


def _print_neighbours(asked: str, found: Sequence[tuple[str, float]]) -> None:
    from luban.cli.scores import print_table

    print_table((asked, "cosine"), [(word, f"{cosine:.4f}") for word, cosine in found])


def _print_findings(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.print()
    for f in findings:
        sign, style = ("✓", "green") if f.ok else ("✗", "bold red") if f.blocks else ("!", "yellow")
        console.print(Text.assemble((f"{sign} {f.check:<40}", style), f.detail), soft_wrap=True)
