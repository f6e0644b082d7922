"""Build the kernels once with the system's compiler, and load them.

They are kept under `~/.cache/luban/native` (or `LUBAN_HOME`), one library for each source, flags and
processor. Without a compiler, or with `LUBAN_NATIVE=0`, everything runs through PyTorch.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from luban.files import hash_bytes
from luban.log import Log
from luban.places import home_folder

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.cpp")))
HEADERS = tuple(sorted(Path(__file__).parent.glob("*.h")))
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fPIC")
# The kernels run on PyTorch's own threads: a second pool would fight it for the cores.
THREADS = {"darwin": ("-Xclang", "-fopenmp", "-undefined", "dynamic_lookup")}
NATIVE = {"arm64": "-mcpu=native", "aarch64": "-mcpu=native"}
SECONDS = 120

_TEXT = [ctypes.c_char_p, ctypes.c_int64] * 2  # a text and the classes of characters, each with its size

_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "luban_attend": (None, [ctypes.c_void_p] * 5 + [ctypes.c_int]),
    "luban_gelu_tanh": (None, [ctypes.c_void_p] * 2 + [ctypes.c_int64, ctypes.c_int]),
    "luban_gelu_tanh_back": (None, [ctypes.c_void_p] * 3 + [ctypes.c_int64, ctypes.c_int]),
    "luban_silu_times": (None, [ctypes.c_void_p] * 3 + [ctypes.c_int64, ctypes.c_int]),
    "luban_silu_times_back": (None, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]),
    "luban_turn": (None, [ctypes.c_void_p, ctypes.c_int]),
    "luban_block": (None, [ctypes.c_void_p] * 4 + [ctypes.c_int]),
    "luban_linear": (None, [ctypes.c_void_p] * 3 + [ctypes.c_int64, ctypes.c_int]),
    "luban_pack": (
        ctypes.c_bool,
        [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int],
    ),
    "luban_text_counts": (None, [*_TEXT, ctypes.c_void_p]),
    "luban_text_repeats": (None, [*_TEXT, ctypes.c_void_p]),
    "luban_text_repeated_chars": (None, [*_TEXT, ctypes.c_int64, ctypes.c_void_p]),
    "luban_text_ngrams": (ctypes.c_int64, [*_TEXT, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]),
    "luban_text_distinct": (ctypes.c_int64, [ctypes.c_void_p, ctypes.c_int64]),
    "luban_text_keep_lines": (ctypes.c_int64, [*_TEXT, *[ctypes.c_void_p] * 3]),
    "luban_sign": (None, [*[ctypes.c_void_p] * 3, ctypes.c_int64, *[ctypes.c_void_p] * 2]),
    "luban_ngram_sets": (None, [ctypes.c_void_p] * 3),
    "luban_jaccard": (None, [*[ctypes.c_void_p] * 3, ctypes.c_int64, ctypes.c_void_p]),
    "luban_lines": (ctypes.c_int64, [ctypes.c_void_p, ctypes.c_int32, *[ctypes.c_void_p] * 3]),
    "luban_winnow": (ctypes.c_int64, [*[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 2]),
    "luban_bag_key": (ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_int64, ctypes.c_bool]),
    "luban_bag_logits": (None, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p]),
    "luban_rms_norm": (None, [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 2 + [ctypes.c_float]),
}


class BuildError(Exception):
    """The kernels cannot be had on this machine; the message says why."""


def is_available() -> bool:
    """Whether the kernels can be used; the first question builds them and says so if that fails."""
    if os.environ.get("LUBAN_NATIVE") == "0":
        return False
    return _library_or_none() is not None


def library() -> ctypes.CDLL:
    """Return the loaded kernels; ask `is_available` first."""
    loaded = _library_or_none()
    if loaded is None:
        raise BuildError("the native kernels are not available here")
    return loaded


@cache
def _library_or_none() -> ctypes.CDLL | None:
    try:
        return load(home_folder() / "native")
    except BuildError as e:
        Log().warn(f"no native code, so that decoding, training and cleaning are slower: {e}")
        return None


def load(folder: Path) -> ctypes.CDLL:
    """Load the library for this machine from `folder`, where it is built first if need be."""
    compiler = _compiler()
    flags = _flags()
    path = folder / f"{_key(flags)}.so"
    if not path.exists():
        _build(compiler, flags, path)
    try:
        loaded = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as e:
        raise BuildError(f"{path} does not load ({e}); delete it to build it again") from e
    return loaded


def _compiler() -> str:
    for name in (os.environ.get("CXX", ""), *COMPILERS):
        if name and (found := shutil.which(name)):
            return found
    raise BuildError("there is no C++ compiler (install g++ or clang++, or set LUBAN_NATIVE=0 to do without)")


def _flags() -> tuple[str, ...]:
    native = NATIVE.get(platform.machine(), "-march=native")
    return (*FLAGS, native, *THREADS.get(sys.platform, ("-fopenmp",)))


def _key(flags: tuple[str, ...]) -> str:
    parts = [path.read_bytes() for path in (*SOURCES, *HEADERS)]
    parts += [" ".join(flags).encode(), _processor().encode()]
    return hash_bytes(b"\0".join(parts))[:16]


def _processor() -> str:
    """Name the processor and its instructions: a home folder may be shared between machines."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    lines = re.findall(r"^(?:model name|flags|CPU part|Features)\s*:.*$", text, re.M)
    return f"{platform.machine()} {sorted(set(lines))}"


def _build(compiler: str, flags: tuple[str, ...], path: Path) -> None:
    """Compile beside `path` and rename: another process sees the whole library or none."""
    Log().say("building the native kernels, once on this machine")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
            parts = [str(Path(folder) / f"{source.stem}.o") for source in SOURCES]
            pairs = zip(SOURCES, parts, strict=True)
            commands = ([compiler, *flags, "-c", str(source), "-o", part] for source, part in pairs)
            with ThreadPoolExecutor(os.cpu_count()) as workers:
                list(workers.map(_run, commands))
            whole = Path(folder) / path.name
            _run([compiler, *flags, "-shared", *parts, "-o", str(whole)])
            whole.replace(path)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise BuildError(f"the kernels cannot be built in {path.parent}: {e}") from e


def _run(command: list[str]) -> None:
    made = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    if made.returncode:
        raise BuildError(f"{command[0]} failed: {made.stderr.strip()[-500:]}")
