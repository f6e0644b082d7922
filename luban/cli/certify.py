"""`luban certify`: prove on a small copy of a run that its arithmetic is what it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from luban.log import Log
    from luban.recipe import Recipe

FAILED = 3


def certify(
    recipe: str = typer.Argument(
        None, metavar="[RECIPE]", help="A recipe file, or the name of a bundled one; or name a --task."
    ),
    stage: str | None = typer.Option(None, help="One training stage of the recipe; else all of them."),
    task: str | None = typer.Option(None, help="Instead of a recipe: what `luban train` would train."),
    data: list[Path] = typer.Option([], help="With --task: as for `luban train`."),
    model: str | None = typer.Option(None, help="With --task: model folder to start from."),
    tokenizer: Path | None = typer.Option(None, help="With --task: tokenizer folder."),
    vectors: Path | None = typer.Option(None, help="With --task: word vectors to start from."),
    eval_data: Path | None = typer.Option(None, "--eval", help="With --task: rows to validate on."),
    config: Path | None = typer.Option(None, help="With --task: YAML file with settings under `train:`."),
    sets: list[str] = typer.Option([], "--set", help="STAGE.KEY=VALUE, or train.KEY=VALUE with --task."),
    out: Path | None = typer.Option(None, help="File to write, instead of certificate.json beside the run."),
    as_json: bool = typer.Option(False, "--json", help="JSON lines: each property, then the certificates."),
) -> None:
    """Prove a run's arithmetic before it is run: packing, accumulation, sampling, resuming, saving.

    A small model of the same kind, with the run's own settings and data, computes each number in two
    ways. The exit code is 3 if a property does not hold, and the same run is then refused until it
    names the property: --set STAGE.unproven=[PROPERTY].

    \b
    Examples:
      luban certify quickstart
      luban certify train-gpt2 --stage gpt2 --json
      luban certify --task classify --data rows.jsonl.gz --model FOLDER --set train.lr=2e-5
    """
    from luban.cli.writing import refuse_unwritable
    from luban.log import Log
    from luban.tasks.certify import training_stages
    from luban.train.certificate import CERTIFICATE, certificates_folder

    log = Log(as_json=as_json)
    others = {"model": model, "tokenizer": tokenizer, "vectors": vectors, "eval": eval_data}
    graph = _graph(recipe, task, data, others, config, sets)
    names = training_stages(graph, stage)
    paths = _paths(names, graph, out, is_recipe=task is None)
    for path in paths:
        refuse_unwritable(path)
    refuse_unwritable(certificates_folder() / CERTIFICATE, fix="set LUBAN_HOME to a folder you may write to")
    made = [_certify(graph, name, log) for name in names]
    _write(made, paths, out)
    holds = all(c["holds"] for c in made)
    if as_json:
        log.result({"holds": holds, "files": [str(p) for p in paths], "certificates": made})
    else:
        _close(made, paths)
    raise typer.Exit(0 if holds else FAILED)


def _graph(
    recipe: str | None,
    task: str | None,
    data: list[Path],
    others: dict[str, Path | str | None],
    config: Path | None,
    sets: list[str],
) -> Recipe:
    """Return the recipe that is named, or that of the run that --task describes."""
    from luban.cli.stage import one_stage
    from luban.cli.train import stage_inputs
    from luban.errors import ConfigError
    from luban.recipe import load_recipe
    from luban.tasks.task import find_task

    given = [f"--{name}" for name, value in {"data": data, "config": config, **others}.items() if value]
    if (recipe is None) == (task is None):
        raise ConfigError(
            "nothing to certify" if task is None else f"both a recipe ({recipe}) and --task {task}",
            fix="name a recipe, or a --task with its --data",
        )
    if recipe is not None:
        if given:
            raise ConfigError(f"a recipe takes no {given[0]}", fix="change it with --set STAGE.KEY=VALUE")
        return load_recipe(recipe, sets)
    assert task is not None
    if not data:
        raise ConfigError(f"--task {task} without --data", fix="name the data that it trains on")
    inputs = stage_inputs(find_task(task), data, others)
    return one_stage(task, "train", inputs, Path("train"), config=config, sets=sets)


def _certify(graph: Recipe, name: str, log: Log) -> dict[str, Any]:
    """Certify one stage, telling of each property as it is known."""
    from luban.tasks.certify import Certificate, certify
    from luban.train.certificate import row_in_words

    log.say(f"{name}:", certify=name)
    for found in certify(graph, name, log):
        if isinstance(found, Certificate):
            return found.to_json()
        log.say("  " + row_in_words(found), stage=name, property=found.name, verdict=found.verdict)
    raise AssertionError("the last thing that certify yields is the certificate")


def _paths(names: list[str], graph: Recipe, out: Path | None, *, is_recipe: bool) -> list[Path]:
    """Return where the certificates go: to `out`, else into each run's folder, or beside where it will be."""
    from luban.train.certificate import CERTIFICATE

    if out is not None:
        return [out]
    if not is_recipe:  # where the run will be is not known; it brings the certificate along
        return []
    folders = [graph.task(name).out for name in names]
    return [f / CERTIFICATE if f.is_dir() else f.parent / f"{f.name}.{CERTIFICATE}" for f in folders]


def _write(made: list[dict[str, Any]], paths: list[Path], out: Path | None) -> None:
    from luban.files import write_json

    if out is not None and len(made) > 1:
        write_json(out, {"holds": all(c["holds"] for c in made), "certificates": made})
        return
    for path, certificate in zip(paths, made, strict=False):  # none of a --task is kept beside it
        write_json(path, certificate)


def _close(made: list[dict[str, Any]], paths: list[Path]) -> None:
    from luban.cli.scores import print_table

    for certificate in made:
        rows = [
            (
                p["name"],
                p["verdict"],
                *_numbers(p),
                f"{p['seconds']:.1f} s",
                p["words"],
            )
            for p in certificate["properties"]
        ]
        family, small = certificate["model"]["family"], certificate["model"]["small"]
        shown = f"{certificate['name']}: {family}, {small['parameters']:,} parameters for the proof"
        print_table(("property", "", "differs by", "at most", "took", ""), rows, shown)
    seconds = sum(c["seconds"] for c in made)
    failed = sorted({p["name"] for c in made for p in c["properties"] if p["verdict"] == "fails"})
    print(
        f"\n{'not ' + ', '.join(failed) if failed else 'all hold'}; {seconds:.0f} s"
        + "".join(f"\n{p}" for p in paths)
    )


def _numbers(found: dict[str, Any]) -> tuple[str, str]:
    if found["verdict"] == "does not apply":
        return "", ""
    difference, tolerance = found["difference"], found["tolerance"]
    return (
        "?" if difference is None else f"{difference:.0e}" if difference else "0",
        f"{tolerance:.0e}" if tolerance else "0",
    )
