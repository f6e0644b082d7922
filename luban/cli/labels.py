"""What `luban data convert` and `luban data label` do beside running a stage, and print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def print_formats(*, as_json: bool) -> None:
    """Print the table of formats."""
    from luban.cli.scores import print_table
    from luban.data.convert.formats import FORMATS
    from luban.log import Log

    if as_json:
        for name, f in FORMATS.items():
            row = {"format": name, "holds": f.kind, "about": f.about, "lost": f.lost}
            Log(as_json=True).result(row)
        return
    rows = [(name, f.kind, f.about, f.lost) for name, f in FORMATS.items()]
    print_table(("format", "holds", "what it is", "what does not come back"), rows)


def convert_rows(data: list[Path], out: Path | None, settings: dict[str, Any], *, as_json: bool) -> None:
    """Convert into a file, or, where the output is a folder, by the stage."""
    from luban.config import Tree, fill
    from luban.data.convert.formats import FORMATS
    from luban.data.convert.settings import ConvertSettings
    from luban.errors import ConfigError
    from luban.log import Log

    if not data or out is None:
        missing = "input" if not data else "--out"
        raise ConfigError(
            f"convert has no {missing}", fix="luban data convert IN --to FORMAT --out PATH; or list --formats"
        )
    log = Log(as_json=as_json)
    chosen = fill(ConvertSettings, Tree({k: v for k, v in settings.items() if v is not None}), "convert")
    is_folder = not out.suffix or (chosen.to in FORMATS and chosen.to in ("documents", "datasets"))
    facts = _by_stage(data, out, chosen, log) if is_folder else _to_file(data, out, chosen)
    if facts is None:
        return
    if as_json:
        log.result({"stage": "convert", "out": str(out), "counts": facts["counts"]})
        return
    print("  ".join(f"{key} {value:,}" for key, value in facts["counts"].items()))
    print(f"{', '.join(facts['from'])} → {facts['to']}: {out}")
    if facts["rejects"]:
        print(f"set aside: see {facts['rejects_in']}; the first: {facts['first_reject']}")


def _to_file(data: list[Path], out: Path, settings: Any) -> dict[str, Any]:
    from luban.data.convert.run import convert, rejects_beside

    return convert(data, out, settings) | {"rejects_in": rejects_beside(out)}


def _by_stage(data: list[Path], out: Path, settings: Any, log: Any) -> dict[str, Any] | None:
    from luban.cli.stage import run_stage
    from luban.recipe import Recipe, Task, numbered
    from luban.stages import STAGES

    inputs = {name: str(path) for name, path in numbered("data", data).items()}
    task = Task("convert", STAGES["convert"], settings, inputs, out)
    result = run_stage(Recipe("convert", out.parent, (task,)), log)
    return None if result is None else result.manifest.facts | {"rejects_in": out / "rejects.jsonl"}


def print_labels(facts: Mapping[str, Any]) -> None:
    """Print how many documents have which label, and what each rule did."""
    from luban.cli.scores import print_table

    if facts.get("labels"):
        print_table(("label", "documents"), [(name, f"{n:,}") for name, n in facts["labels"].items()])
    if facts.get("rules"):
        rows = [
            (
                rule["rule"],
                f"{rule['votes']:,}",
                *(f"{100 * rule[name]:.1f} %" for name in ("coverage", "overlap", "conflict")),
                "–" if rule["accuracy"] is None else f"{100 * rule['accuracy']:.1f} %",
                rule["label"],
            )
            for rule in facts["rules"]
        ]
        print_table(("rule", "votes", "coverage", "overlap", "conflict", "accuracy", "label"), rows)
    if facts.get("accuracy") is not None:
        print(f"right on {100 * facts['accuracy']:.1f} % of the labelled documents whose label is known")
