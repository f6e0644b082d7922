"""Check the documentation against the code; `--write` regenerates the settings reference.

Held here: links lead somewhere; every `luban` command names a verb and options that exist; make targets
exist; Python blocks compile; both READMEs show the same commands; docs/settings.md is what the code says.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import shlex
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETTINGS = ROOT / "docs" / "settings.md"
PAGES = sorted(p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/*.md")])


def main() -> int:
    """Print every fault found; return 1 if there is one."""
    if "--write" in sys.argv:
        SETTINGS.write_text(settings_reference(), encoding="utf-8")
    faults = [f for page in PAGES for f in (*links(page), *commands(page), *python_blocks(page))]
    faults += same_commands(ROOT / "README.md", ROOT / "README.zh.md")
    if not SETTINGS.exists() or SETTINGS.read_text("utf-8") != settings_reference():
        faults.append("docs/settings.md is not what the code says: run python docs/check.py --write")
    print("\n".join(faults) or f"docs: {len(PAGES)} pages hold")
    return 1 if faults else 0


def blocks(page: Path, language: str) -> Iterator[str]:
    """Yield the fenced code blocks of a page in one language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


def shell_commands(page: Path) -> list[str]:
    """Return the commands of a page's bash blocks, comments and continued lines resolved."""
    text = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    return [
        " ".join(shlex.split(line, comments=True, posix=False)) for line in lines if line and line[0] != "#"
    ]


def links(page: Path) -> Iterator[str]:
    """Yield a fault for each relative link that leads nowhere."""
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
            yield f"{page.name}: link to {target} leads nowhere"


def commands(page: Path) -> Iterator[str]:
    """Yield a fault for each command that names a verb, option or target that does not exist."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for line in shell_commands(page):
        words = shlex.split(re.split(r"[|>&;]", line)[0])
        if words[:1] == ["make"]:
            yield from (f"{page.name}: no make target {w}" for w in words[1:] if w not in targets)
        elif words and Path(words[0]).name == "luban":
            yield from (f"{page.name}: {line}: {fault}" for fault in _luban_faults(words[1:]))


def _luban_faults(words: list[str]) -> Iterator[str]:
    import typer

    from luban.cli.main import build_app

    command: typing.Any = typer.main.get_command(build_app())
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if words[0] not in command.commands:
            yield f"there is no command {words[0]}"
            return
        command, words = command.commands[words[0]], words[1:]
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    yield from (
        f"there is no option {w}" for w in words if w.startswith("-") and w.split("=")[0] not in known
    )


def python_blocks(page: Path) -> Iterator[str]:
    """Yield a fault for each Python block that is not Python."""
    for block in blocks(page, "python"):
        try:
            compile(block, page.name, "exec")
        except SyntaxError as e:
            yield f"{page.name}: python block: {e}"


def same_commands(one: Path, other: Path) -> list[str]:
    """Return a fault if two pages do not show the same commands."""
    difference = sorted(set(shell_commands(one)) ^ set(shell_commands(other)))
    return [f"only one of {one.name} and {other.name} shows: {line}" for line in difference]


def settings_reference() -> str:
    """Return the settings page, drawn from the dataclasses and the docstrings under their fields."""
    from luban.stages import STAGES

    parts = ["# Settings\n\nGenerated from the code by `python docs/check.py --write`.\n"]
    for stage in STAGES.values():
        inputs = ", ".join([*stage.inputs, *(f"{name} (optional)" for name in stage.optional)])
        parts.append(
            f"\n## {stage.name}\n\n{inspect.getdoc(stage.settings_class())}\n\nInputs: {inputs}.\n\n"
        )
        parts.append("| setting | default | what it does |\n| --- | --- | --- |\n")
        parts += _rows(stage.settings_class(), "")
    return "".join(parts)


def _rows(cls: type, prefix: str) -> Iterator[str]:
    types = typing.get_type_hints(cls)
    told = {name: text for base in reversed(cls.__mro__) for name, text in _field_docstrings(base).items()}
    for field in dataclasses.fields(cls):
        default = field.default if field.default is not dataclasses.MISSING else None
        inner = [
            t for t in (types[field.name], *typing.get_args(types[field.name])) if dataclasses.is_dataclass(t)
        ]
        if not inner or default is None and field.default is None:
            shown = "null" if default is None else str(default).replace("|", "\\|")
            yield f"| `{prefix}{field.name}` | `{shown}` | {told.get(field.name, '')} |\n"
        for member in inner:
            yield from _rows(typing.cast(type, member), f"{prefix}{field.name}.")


def _field_docstrings(cls: type) -> dict[str, str]:
    if not dataclasses.is_dataclass(cls):
        return {}
    body = ast.parse(inspect.getsource(cls)).body[0].body  # type: ignore[attr-defined]
    return {
        node.target.id: " ".join(after.value.value.split())
        for node, after in zip(body, body[1:], strict=False)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
