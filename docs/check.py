"""Check the documentation against the code; `--write` regenerates what is drawn from it.

Held here: links lead somewhere, and a name that links to a Python file is defined there; paths exist; every
`luban` command parses, its settings too; make targets exist; Python blocks compile; English and Chinese pages
come in pairs with the same commands, code and headings; docs/settings.md and the tables of what sets a family
apart are what the code says.
"""

from __future__ import annotations

import ast
import dataclasses
import doctest
import inspect
import re
import shlex
import sys
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETTINGS = ROOT / "docs" / "settings.md"
GUIDES = {language: ROOT / "docs" / language for language in ("en", "zh")}
PAGES = sorted(p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/*.md")])


def main() -> int:
    """Print every fault found; return 1 if there is one."""
    if "--write" in sys.argv:
        SETTINGS.write_text(settings_reference(), encoding="utf-8")
        for page in PAGES:
            page.write_text(with_tables(page.read_text("utf-8")), encoding="utf-8")
    faults = [
        f for page in PAGES for f in (*links(page), *commands(page), *python_blocks(page), *drawn(page))
    ]
    faults += [f for folder in GUIDES.values() for page in folder.glob("**/*.md") for f in paths(page)]
    faults += same_commands(ROOT / "README.md", ROOT / "README.zh.md")
    faults += in_pairs()
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
    """Yield a fault for each relative link that leads nowhere, or to code that lacks the name it shows."""
    for text, target in re.findall(r"\[([^]]*)\]\(([^)#\s]+)", page.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file = page.parent / target
        if not file.exists():
            yield f"{page.name}: link to {target} leads nowhere"
        elif (
            file.suffix == ".py"
            and (name := re.fullmatch(r"`([A-Za-z_][\w.]*)`", text))
            and name[1] not in defined(file)
        ):
            yield f"{page.name}: {target} defines no {name[1]}"


@cache
def defined(file: Path) -> frozenset[str]:
    """Return what a Python file defines: its own names, and those of its classes as Class.name."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        names = _names(node)
        found |= names
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for inner in node.body for name in _names(inner)}
    return frozenset(found)


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {t.id for t in targets if isinstance(t, ast.Name)}


def paths(page: Path) -> Iterator[str]:
    """Yield a fault for each path of the project that a page names and that does not exist."""
    for path in re.findall(
        r"`((?:luban|docs|tests|recipes|benchmarks|experiments)/[^\s`]*)`", page.read_text("utf-8")
    ):
        if not (ROOT / path).exists():
            yield f"{page.name}: {path} does not exist"


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
    """Parse a command line as the program does, and the settings of one that trains or runs a recipe."""
    import typer

    from luban.cli.main import USAGE_ERROR, build_app
    from luban.errors import LubanError

    command: typing.Any = typer.main.get_command(build_app())
    verb = words[0]
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if "--help" in words or "--version" in words:
        return
    if hasattr(command, "commands"):
        yield f"there is no command {' '.join(words[:1])}"
        return
    try:
        given = command.make_context(verb, list(words)).params
        if verb == "run":
            _check_recipe(given)
        elif verb == "train":
            _check_settings(given)
    except USAGE_ERROR as e:
        yield e.format_message()  # type: ignore[attr-defined]
    except LubanError as e:
        yield e.problem


def _check_recipe(given: dict[str, typing.Any]) -> None:
    from luban.recipe import load_recipe

    if not given["recipe"].startswith("runs/"):  # what a run wrote is not here
        load_recipe(given["recipe"], list(given["sets"]))


def _check_settings(given: dict[str, typing.Any]) -> None:
    from luban.cli.stage import one_stage

    one_stage(
        getattr(given["task"], "value", given["task"]), "train", {}, Path("x"), sets=list(given["sets"])
    )


def python_blocks(page: Path) -> Iterator[str]:
    """Yield a fault for each Python block that is not Python; of a session, the lines after >>> count."""
    for block in blocks(page, "python"):
        try:
            if block.startswith(">>>"):
                block = "".join(e.source for e in doctest.DocTestParser().get_examples(block))
            compile(block, page.name, "exec")
        except (SyntaxError, ValueError) as e:
            yield f"{page.name}: python block: {e}"


def in_pairs() -> list[str]:
    """Return the faults of pages that exist in one language only, or that say other things there."""
    english, chinese = ({p.relative_to(f) for p in f.glob("**/*.md")} for f in GUIDES.values())
    faults = [f"docs: only one language has {page}" for page in sorted(english ^ chinese)]
    for page in sorted(english & chinese):
        one, other = (folder / page for folder in GUIDES.values())
        faults += same_commands(one, other)
        if list(blocks(one, "python")) != list(blocks(other, "python")):
            faults.append(f"{page}: the Python blocks differ between the languages")
        levels = [re.findall(r"^(#+) ", p.read_text("utf-8"), re.M) for p in (one, other)]
        if levels[0] != levels[1]:
            faults.append(f"{page}: the headings differ between the languages")
        if _formulas(one) != _formulas(other):
            faults.append(f"{page}: the formulas differ between the languages")
    return faults


def _formulas(page: Path) -> list[str]:
    return list(blocks(page, "math"))


def same_commands(one: Path, other: Path) -> list[str]:
    """Return a fault if two pages do not show the same commands."""
    difference = sorted(set(shell_commands(one)) ^ set(shell_commands(other)))
    return [f"only one of {one.name} and {other.name} shows: {line}" for line in difference]


TABLE = re.compile(r"(<!-- config (.*?) -->\n).*?(<!-- end -->)", re.S)
SIZES = (
    "dim",
    "n_layers",
    "n_heads",
    "n_kv_heads",
    "head_dim",
    "ffn_dim",
    "max_len",
    "vocab_size",
    "source_max_len",
)
"""What a size decides, not a family."""
OWN = ("family", "trunk", "encoder", "head", "labels", "n_classes", "pool")
"""Parts that are shown field by field, or that a task decides."""
OF_POSITION = {
    "rotary": ("rope_theta", "rope_scaling", "rotary_dim"),
    "relative": ("n_buckets", "max_distance"),
    "none": (),
}
UNUSED = {
    kind: tuple(name for other, names in OF_POSITION.items() if other != kind for name in names)
    for kind in OF_POSITION
}
"""Settings of other kinds of positions than a model's own."""


def drawn(page: Path) -> Iterator[str]:
    """Yield a fault if a table of settings is not what the code says."""
    text = page.read_text("utf-8")
    if text != with_tables(text):
        yield f"{page.name}: a table is not what the code says: run python docs/check.py --write"


def with_tables(text: str) -> str:
    """Return the text with each table drawn anew, as `<!-- config gpt2 llama -->` asks for it."""
    return TABLE.sub(lambda m: m[1] + config_table(*m[2].split()) + m[3], text)


@cache
def config_table(*names: str) -> str:
    """Return the fields in which models differ, sizes aside, and what only one has. A name: FAMILY[:SIZE]."""
    columns = {name: _fields(name) for name in names}
    rows = [f"| | {' | '.join(f'`{name}`' for name in names)} |", f"| --- |{' --- |' * len(names)}"]
    for key in dict.fromkeys(k for fields in columns.values() for k in fields):
        values = [fields.get(key, "–") for fields in columns.values()]
        if len(set(values)) > 1 and values.count("–") < len(values) - 1:
            rows.append(f"| `{key}` | {' | '.join(values)} |")
    return "\n".join(rows) + "\n"


def _fields(name: str) -> dict[str, str]:
    from luban.models.families import FAMILIES

    family, _, size = name.partition(":")
    config = FAMILIES[family].config(size or next(iter(FAMILIES[family].sizes)), vocab_size=1000)
    trunk: typing.Any = config.trunk
    unused = UNUSED.get(trunk.position, UNUSED["none"])
    found = {"trunk": type(trunk).__name__, "encoder": _shown(config.encoder is not None)}
    found |= {name: _shown(getattr(trunk, name)) for name in ("sight", "position")}
    if hasattr(trunk, "n_kv_heads"):
        found["n_heads / n_kv_heads"] = str(trunk.n_heads // trunk.n_kv_heads)
    for prefix, part in {"": trunk, "model.": config, "head.": config.head}.items():
        for field in dataclasses.fields(part):
            is_part = field.name not in SIZES + OWN + unused and not field.name.endswith(("_id", "dropout"))
            if is_part and prefix + field.name not in found:
                found[prefix + field.name] = _shown(getattr(part, field.name))
    return found


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if value < 1 else f"{value:.10g}"
    return "–" if value is None else str(value)


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
