from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from luban.cli.main import VERBS, build_app

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("torch", "pyarrow", "numpy", "transformers", "tokenizers", "fastapi", "uvicorn", "sklearn")

ASK = """
import contextlib, io, json, sys
from luban.cli.main import main
answers = []
for line in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            main(line)
        except SystemExit as e:
            code = e.code
    answers.append((line, code, said.getvalue(), [m for m in HEAVY if m in sys.modules]))
print(json.dumps(answers))
""".replace("HEAVY", repr(HEAVY))


def commands() -> list[list[str]]:
    """Every command of the tool that takes --help, as its words."""
    root = typer.main.get_command(build_app())
    found: list[list[str]] = []

    def visit(command: object, words: list[str]) -> None:
        found.append(words)
        for name, child in getattr(command, "commands", {}).items():
            visit(child, [*words, name])

    visit(root, [])
    return found


@pytest.fixture(scope="module")
def answers() -> list[tuple[list[str], int, str, list[str]]]:
    lines = [[*words, "--help"] for words in commands()] + [["--version"], ["-h"]]
    line = [sys.executable, "-c", ASK, json.dumps(lines)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return [tuple(answer) for answer in json.loads(done.stdout)]


def test_every_verb_is_there() -> None:
    assert {words[0] for words in commands() if words} == set(VERBS)


def test_help_loads_nothing_heavy_and_succeeds(answers: list[tuple[list[str], int, str, list[str]]]) -> None:
    assert [(line, code) for line, code, _, _ in answers if code] == []
    assert [(line, loaded) for line, _, _, loaded in answers if loaded] == []


def test_every_help_says_what_it_does_and_shows_an_example(
    answers: list[tuple[list[str], int, str, list[str]]],
) -> None:
    for line, _, text, _ in answers:
        words = [w for w in line if not w.startswith("-")]
        if not words or (len(words) == 1 and re.search(r"^Commands:", text, re.M)):
            continue  # a list of commands, each of which has its own example
        assert re.search(rf"^ +luban {' '.join(words)} \S+", text, re.M) or words == ["doctor"], text
        usage, _, rest = text.partition("\n\n")
        assert usage.startswith(f"Usage: luban {' '.join(words)}"), text
        assert re.match(r" +[A-Z].+?[.:]\n", rest, re.S), f"{words} has no sentence: {text}"


def test_every_option_and_argument_is_explained() -> None:
    app = typer.main.get_command(build_app())
    silent = []

    def visit(command: object, words: list[str]) -> None:
        silent.extend(
            f"luban {' '.join(words)} {p.name}"
            for p in command.params  # type: ignore[attr-defined]
            if not getattr(p, "help", None)
        )
        for name, child in getattr(command, "commands", {}).items():
            visit(child, [*words, name])

    visit(app, [])
    assert not silent
