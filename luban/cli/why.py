"""`luban why`: what made a folder, back to the raw files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from luban.files import Manifest

Link = tuple[int, Path, "Manifest | None", str]


def why(
    folder: Path = typer.Argument(metavar="FOLDER", help="A folder that a stage wrote."),
    step: int | None = typer.Option(
        None, help="For a training run: show the samples of this step, and the documents in them."
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON line for each link, or each sample."),
) -> None:
    """Show what made a folder, back to the raw files; or what a training step saw.

    Each line says the stage, its content key, when it ran, how long, the settings that differ from
    their defaults, and whether an input has changed since. With --step, each line is a document of a
    sample: its id, which of its tokens, its source, licence and language, and how it begins.

    \b
    Examples:
      luban why runs/quickstart/train
      luban why runs/lm --step 120
    """
    if step is not None:
        from luban.cli.why_step import print_step

        print_step(folder, step, as_json=as_json)
        return
    from luban.log import Log
    from luban.runner import why as find_chain

    chain = find_chain(folder)
    if as_json:
        for link in chain:
            Log(as_json=True).result(_row(link))
    else:
        _print_tree(chain)


def _row(link: Link) -> dict[str, Any]:
    depth, path, manifest, note = link
    row: dict[str, Any] = {"depth": depth, "path": str(path), "note": note}
    if manifest:
        row |= {
            "stage": manifest.stage,
            "name": manifest.name,
            "key": manifest.key,
            "started": manifest.started,
            "seconds": manifest.seconds,
            "settings": changed_settings(manifest),
        }
    return row


def changed_settings(manifest: Manifest) -> dict[str, Any]:
    """Return the settings that are not as a fresh stage would have them, nested ones by dotted name."""
    from luban.config import Tree, fill, resolved
    from luban.errors import ConfigError
    from luban.stages import STAGES

    given = _flat(manifest.settings)
    if manifest.stage not in STAGES:  # made by another version of Luban
        return given
    try:
        usual = _flat(resolved(fill(STAGES[manifest.stage].settings_class(), Tree({}))))
    except ConfigError:  # a stage with a setting that has no default
        return given
    return {key: value for key, value in given.items() if key not in usual or usual[key] != value}


def _flat(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        inner = _flat(value, f"{before}{key}.") if isinstance(value, dict) else {}
        flat |= inner or {f"{before}{key}": value}
    return flat


def _print_tree(chain: list[Link]) -> None:
    from rich.console import Console
    from rich.tree import Tree

    root = Tree(_label(chain[0]))
    branches = {0: root}
    for link in chain[1:]:
        branches[link[0]] = branches[link[0] - 1].add(_label(link))
    Console().print(root, soft_wrap=True)  # a line a link, however long, for grep


def _label(link: Link) -> Any:
    from rich.text import Text

    _, path, manifest, note = link
    text = Text(_short(path), style="bold" if manifest else "")
    if manifest:
        when = manifest.started.replace("T", " ").partition("+")[0]
        text.append(f"  {manifest.stage} {manifest.key[:8]}  {when}  {manifest.seconds:.1f} s", style="dim")
    elif not note:
        text.append("  not made by Luban" if path.is_dir() else "  raw", style="dim")
    if note:
        text.append(f"  {note}", style="bold red")
    for key, value in changed_settings(manifest).items() if manifest else ():
        text.append(f"\n{key} = {value}", style="cyan")
    return text


def _short(path: Path) -> str:
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(path)
