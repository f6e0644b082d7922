"""Plain text, program code and pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from luban.data.encoding import Unreadable, decode_html, text_blocks
from luban.data.readers.records import HTML, Blob, Found, Record

HTML_BYTES = 20_000_000  # a larger page is a dump, and its tree would fill the memory
CODE_LANGUAGES = {
    ".py": "Python", ".pyi": "Python", ".c": "C", ".h": "C", ".cc": "C++", ".cpp": "C++",
    ".cxx": "C++", ".hpp": "C++", ".hh": "C++", ".cu": "CUDA", ".cs": "C#", ".java": "Java", ".kt": "Kotlin",
    ".scala": "Scala", ".go": "Go", ".rs": "Rust", ".js": "JavaScript", ".mjs": "JavaScript",
    ".jsx": "JavaScript", ".ts": "TypeScript", ".tsx": "TypeScript", ".vue": "Vue", ".css": "CSS",
    ".scss": "SCSS", ".php": "PHP", ".rb": "Ruby", ".pl": "Perl", ".pm": "Perl", ".lua": "Lua", ".r": "R",
    ".jl": "Julia", ".m": "Objective-C", ".swift": "Swift", ".dart": "Dart", ".hs": "Haskell", ".ml": "OCaml",
    ".fs": "F#", ".clj": "Clojure", ".ex": "Elixir", ".exs": "Elixir", ".erl": "Erlang", ".lisp": "Lisp",
    ".el": "Emacs Lisp", ".scm": "Scheme", ".f90": "Fortran", ".f": "Fortran", ".pas": "Pascal",
    ".adb": "Ada", ".asm": "Assembly", ".s": "Assembly", ".v": "Verilog", ".sv": "SystemVerilog",
    ".vhd": "VHDL", ".sql": "SQL", ".sh": "Shell", ".bash": "Shell", ".zsh": "Shell", ".ps1": "PowerShell",
    ".bat": "Batch", ".cmake": "CMake", ".mk": "Makefile", ".gradle": "Gradle", ".groovy": "Groovy",
    ".proto": "Protocol Buffers", ".tf": "Terraform", ".toml": "TOML", ".ini": "INI", ".yaml": "YAML",
    ".yml": "YAML", ".tex": "TeX", ".zig": "Zig", ".nim": "Nim", ".d": "D", ".sol": "Solidity",
}  # fmt: skip
CODE_NAMES = {"makefile": "Makefile", "dockerfile": "Dockerfile", "cmakelists.txt": "CMake"}
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’」』)]*\s*")


def read_plain(blob: Blob) -> Found:
    """Yield a text in pieces of at most max_chars, or whole."""
    return as_pieces(blob, text_blocks(blob.stream, blob.settings.encoding))


def read_code(blob: Blob) -> Found:
    """Yield a program's text with its language in `code_language`."""
    language = code_language(blob.name)
    for record in read_plain(blob):
        if isinstance(record, Record):
            yield Record(record.position, record.text, extra={"code_language": language}, file=blob.name)
        else:
            yield record


def read_notebook(blob: Blob) -> Found:
    """Yield the cells of a Jupyter notebook as one text, without what they printed."""
    try:
        book = json.loads(blob.read_all())
        cells = ["".join(cell["source"]) for cell in book["cells"]]
        language = str(book.get("metadata", {}).get("kernelspec", {}).get("language", "python"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise Unreadable(f"no notebook: {type(e).__name__}: {str(e)[:100]}") from None
    language = next((n for n in CODE_LANGUAGES.values() if n.lower() == language.lower()), language)
    for record in as_pieces(blob, (f"{cell}\n\n" for cell in cells)):
        if isinstance(record, Record):
            yield Record(record.position, record.text, extra={"code_language": language}, file=blob.name)


def read_html(blob: Blob) -> Found:
    """Yield a page as it is; its main text is taken later."""
    yield Record(
        0, decode_html(blob.read_all(HTML_BYTES), blob.settings.encoding), extra=HTML, file=blob.name
    )


def code_language(name: str) -> str:
    """Return the programming language of a file by its name, or ""."""
    path = PurePosixPath(name.lower())
    return CODE_NAMES.get(path.name) or CODE_LANGUAGES.get(path.suffix, "")


def as_pieces(blob: Blob, blocks: Iterable[str], row: dict[str, object] | None = None) -> Found:
    """Yield records of at most max_chars from blocks of one text; of the whole text if that is 0."""
    limit = blob.settings.max_chars
    pieces = cut_text(blocks, limit) if limit else [_whole(blob, blocks)]
    empty = True
    for position, piece in enumerate(pieces):
        if piece and not piece.isspace():
            empty = False
            yield Record(position, piece, row or {}, file=blob.name)
    if empty:
        raise Unreadable("no text in it")


def cut_text(blocks: Iterable[str], max_chars: int) -> Iterator[str]:
    """Yield a text in pieces of at most `max_chars`, cut after a paragraph where there is one.

    Without a blank line to cut at, a cut falls after a line; without lines, after a sentence. Line ends
    become plain ones.
    """
    text, start = "", 0
    for block in _plain_ends(blocks):
        text, start = text[start:] + block, 0
        while len(text) - start > max_chars:
            end = _cut(text, start, start + max_chars)
            yield text[start:end]
            start = end
    if len(text) > start:
        yield text[start:]


def _plain_ends(blocks: Iterable[str]) -> Iterator[str]:
    held = ""
    for block in blocks:
        text = held + block
        held = ""
        if "\r" in text:
            if text.endswith("\r"):
                text, held = text[:-1], "\r"
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        yield text
    if held:
        yield "\n"


def _cut(text: str, start: int, end: int) -> int:
    """Where to cut: after the last blank line in the second half, a line, a sentence, or a space."""
    middle = start + (end - start) // 2
    for mark in ("\n\n", "\n"):
        found = text.rfind(mark, middle, end)
        if found >= 0:
            return found + len(mark)
    ends = [m.end() for m in _SENTENCE_END.finditer(text, middle, end)]
    if ends:
        return ends[-1]
    space = text.rfind(" ", middle, end)
    return space + 1 if space >= 0 else end


def _whole(blob: Blob, blocks: Iterable[str]) -> str:
    parts, size, limit = [], 0, blob.settings.max_file_bytes
    for block in _plain_ends(blocks):
        parts.append(block)
        size += len(block)
        if size > limit:
            raise Unreadable(f"more than {limit / 1e6:g} MB; set max_chars to cut it into documents")
    return "".join(parts)
