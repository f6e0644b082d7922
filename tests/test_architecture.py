"""The map of the house: who may import whom, and how large a piece may grow."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "luban"

FOUNDATION = {
    "errors", "records", "config", "files", "binary", "gguf", "places", "log", "device", "stages", "recipe", "runner",
}  # fmt: skip

# Change the map here first, then the code.
MAY_IMPORT = {
    "tokenizer": set(),
    "models": set(),
    "objectives": set(),
    "optim": set(),
    "native": set(),
    "privacy": set(),
    "report": set(),
    "sandbox": set(),
    "data": {"privacy.pii", "privacy.masking", "tokenizer", "native"},
    "annotate": {"data"},
    "train": {"optim", "native"},
    "generate": {"models", "tokenizer", "native"},
    "tune": {"models"},
    "evaluate": {"generate", "objectives", "models", "tokenizer", "data.batches", "sandbox"},
    "interpret": {"models", "tokenizer"},
    "export": {"models", "tokenizer", "native", "generate", "evaluate", "tune"},
    "plan": {"models", "tokenizer", "sandbox"},
    "tasks": {
        "data", "tokenizer", "models", "objectives", "optim", "train", "generate", "tune", "evaluate",
        "privacy", "native", "sandbox",
    },
    "serve": {"tasks", "generate", "models", "tokenizer", "tune"},
    "studio": {"serve", "annotate", "report"},
}  # fmt: skip

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 7
VAGUE = {"utils", "util", "common", "helpers", "helper", "misc", "base", "manager", "core"}


@cache
def modules() -> list[tuple[Path, ast.Module]]:
    return [
        (path.relative_to(PACKAGE), ast.parse(path.read_text("utf-8"), str(path)))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def imported(tree: ast.Module) -> list[tuple[int, str]]:
    """Return (line, dotted name below luban) for every import, however deeply nested."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, a.name[6:]) for a in node.names if a.name.startswith("luban.")]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "luban":
            base = node.module[6:]
            found += [(node.lineno, f"{base}.{a.name}".strip(".")) for a in node.names]
    return found


def is_allowed(target: str, here: str) -> bool:
    room = target.split(".")[0]
    if room in FOUNDATION | {here, "__version__"}:
        return True
    return any(target == a or target.startswith(f"{a}.") for a in MAY_IMPORT[here])


def test_rooms_import_only_what_the_map_allows() -> None:
    wrong = []
    for path, tree in modules():
        here = path.parts[0]
        if len(path.parts) == 1 or here in ("cli", "bundled"):
            continue
        assert here in MAY_IMPORT, f"luban/{here} is not on the map"
        wrong += [f"{path}:{line} imports {t}" for line, t in imported(tree) if not is_allowed(t, here)]
    assert not wrong, "\n".join(wrong)


def test_the_foundation_imports_no_room() -> None:
    wrong = [
        f"{path}:{line} imports {target}"
        for path, tree in modules()
        if len(path.parts) == 1 and path.stem in FOUNDATION
        for line, target in imported(tree)
        if target.split(".")[0] not in FOUNDATION | {"__version__"}
    ]
    assert not wrong, "\n".join(wrong)


def test_models_know_nothing_of_distribution_or_training() -> None:
    for path, tree in modules():
        if path.parts[0] == "models":
            for node in ast.walk(tree):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not [n for n in names if n.startswith(("torch.distributed", "torch.optim"))], path


def test_device_names_stay_in_device_py() -> None:
    wrong = [
        f"{path}:{node.lineno} names a device"
        for path, tree in modules()
        if path.as_posix() not in ("device.py", "cli/doctor.py", "plan/doctor.py", "train/settings.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in ("cuda", "mps", "xpu")
        and isinstance(node.value, ast.Name)
        and node.value.id == "torch"
    ]
    assert not wrong, "\n".join(wrong)


def test_pieces_stay_small() -> None:
    wrong = []
    for path, tree in modules():
        n_lines = (PACKAGE / path).read_text("utf-8").count("\n")
        if n_lines > MAX_FILE_LINES:
            wrong.append(f"{path}: {n_lines} lines, at most {MAX_FILE_LINES}")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # A command's options are its parameters, and are as many lines as they need.
                first = node.body[0].lineno if path.parts[0] == "cli" else node.lineno
                size = (node.end_lineno or first) - first + 1
                if size > MAX_FUNCTION_LINES:
                    wrong.append(
                        f"{path}:{node.lineno} {node.name}: {size} lines, at most {MAX_FUNCTION_LINES}"
                    )
                count = len(node.args.args) + len(node.args.kwonlyargs) + len(node.args.posonlyargs)
                is_command = path.parts[0] == "cli"  # a command's options are its parameters
                if count > MAX_PARAMETERS + 1 and not is_command:
                    wrong.append(f"{path}:{node.lineno} {node.name}: {count} parameters")
    assert not wrong, "\n".join(wrong)


def test_modules_have_telling_names() -> None:
    for path, _ in modules():
        if path.stem.startswith("__"):
            continue
        assert path.stem not in VAGUE, f"{path}: name the idea"
        if len(path.parts) <= 2 and path.parts[0] != "cli":
            assert path.stem not in sys.stdlib_module_names or path.stem in ("runner",), (
                f"{path} hides a standard module"
            )


def test_only_one_place_trains() -> None:
    callers = [
        path.as_posix()
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "backward"
    ]
    assert set(callers) <= {"train/engine.py"}, callers


@pytest.mark.parametrize("path", [p for p, _ in modules()], ids=str)
def test_every_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse((PACKAGE / path).read_text("utf-8"))
    if tree.body:
        assert ast.get_docstring(tree), f"{path} has no docstring"
