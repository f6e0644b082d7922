"""Problems whose solution is a program: what the model reads, and what is run to judge it.

HumanEval (arXiv:2107.03374): the head of a function, and a test that calls `check` with it. MBPP
(arXiv:2108.07732): a sentence, and assertions. A program that was judged right came to the end of its tests:
one that ends before them has not. See code_inside.py for what keeps it from claiming so.
"""

from __future__ import annotations

import ast
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MAIN, PROGRAM, SECRET = "main.py", "program.py", "secret"
HUMANEVAL = ("task_id", "prompt", "entry_point", "test")
MBPP = ("text", "test_list")
STOPS: dict[str, tuple[str, ...]] = {
    "humaneval": ("\nclass ", "\ndef ", "\n#", "\n@", "\nprint(", "\nif ", "\nassert ", "\n```", "<|"),
    "mbpp": ("\nclass Test", "\n#", "\nprint(", "\nif ", "\nassert ", '\n"""', "\n'''", "\n```", "<|"),
}
"""What a model writes after the solution, by the set; arXiv:2107.03374 section 2.2 for the first five."""
BLOCK = re.compile(r"```[ \t]*([\w+-]*)[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem, ready to be asked and judged."""

    id: str
    kind: str
    prompt: str
    """What a model goes on from."""
    question: str
    """The same as a person would ask it."""
    before: str
    """Of the program, before what the model wrote in answer to a question."""
    tests: str
    tested: tuple[str, ...]
    """What the tests call, even where it is named as something built in."""
    solution: str
    """The data's own, to go on from the prompt as a model would; empty where there is none."""


def read_problems(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Problem], list[dict[str, Any]]]:
    """Return the problems, and why each other row is none."""
    problems, rejects = [], []
    for number, row in enumerate(rows, 1):
        try:
            problems.append(read_problem(row, number))
        except ValueError as e:
            rejects.append({"line": number, "id": str(row.get("task_id", "")), "reason": str(e)})
    return problems, rejects


def read_problem(row: Mapping[str, Any], number: int = 1) -> Problem:
    """Return the problem of a row of HumanEval's or MBPP's columns."""
    if "unreadable" in row:
        raise ValueError(str(row["unreadable"]))
    if all(row.get(name) is not None for name in HUMANEVAL):
        return _humaneval(row, number)
    if all(row.get(name) is not None for name in MBPP):
        return _mbpp(row, number)
    raise ValueError(f"it has neither {', '.join(HUMANEVAL)} nor {', '.join(MBPP)}")


def as_continued(problem: Problem, text: str) -> str:
    """Return the program of a text that goes on from the prompt, up to its tests."""
    return problem.prompt + text


def as_answered(problem: Problem, text: str) -> str:
    """Return the program in an answer: its code blocks, or the whole answer where it has none."""
    return problem.before + extract_code(text)


def extract_code(answer: str) -> str:
    """Return the Python in an answer: code blocks one below the other; all of it if there is no block.

    Blocks of other languages, and those that are no Python, such as what a shell prints, are left out.
    """
    blocks = [(m[1].lower(), m[2]) for m in BLOCK.finditer(answer)]
    code = [
        text for language, text in blocks if language in ("", "python", "py", "python3") and _parses(text)
    ]
    return "\n".join(code) if code else blocks[0][1] if blocks else answer


def judged_program(problem: Problem, program: str) -> tuple[dict[str, str], str]:
    """Return the files of what is run, and what it writes if it came to the end of the tests."""
    mark = f"passed {secrets.token_hex(8)}"
    secret = f"{mark}\n{','.join(problem.tested)}\n{problem.tests}"
    return {MAIN: _inside(), PROGRAM: program, SECRET: secret}, mark


@cache
def _inside() -> str:
    return Path(__file__).with_name("code_inside.py").read_text("utf-8")


def _humaneval(row: Mapping[str, Any], number: int) -> Problem:
    prompt, entry, test = (_text(row, name) for name in ("prompt", "entry_point", "test"))
    if not entry.isidentifier():
        raise ValueError(f"entry_point {entry!r} is no name of a function")
    head = prompt.rstrip()
    solution = _text(row, "canonical_solution", "")
    return Problem(
        id=str(row.get("task_id", number)),
        kind="humaneval",
        # A tokenizer joins the end of the line with what stands on the next one.
        prompt=head,
        question=f"Complete this Python function. Answer with the whole function in one code block.\n\n"
        f"```python\n{head}\n```",
        before=f"{head}\n    pass\n\n",
        tests=f"{test}\n\ncheck({entry})\n",
        tested=(entry,),
        solution=f"\n{solution}" if solution else "",
    )


def _mbpp(row: Mapping[str, Any], number: int) -> Problem:
    text, setup = _text(row, "text"), _text(row, "test_setup_code", "")
    tests = row["test_list"]
    if not isinstance(tests, list | tuple) or not tests or not all(isinstance(t, str) for t in tests):
        raise ValueError("test_list is no list of assertions")
    solution = _text(row, "code", "")
    return Problem(
        id=str(row.get("task_id", number)),
        kind="mbpp",
        prompt=f'"""\n{text}\n{tests[0]}\n"""',
        question=f"{text} Answer with Python in one code block. It must pass this test:\n\n"
        f"```python\n{tests[0]}\n```",
        before="",
        tests="\n".join([setup, *tests]) + "\n",
        tested=_defined(solution),
        solution=f"\n{solution}" if solution else "",
    )


def _text(row: Mapping[str, Any], name: str, missing: str | None = None) -> str:
    value = row.get(name)
    if value is None and missing is not None:
        return missing
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    if not value.strip() and missing is None:
        raise ValueError(f"{name} is empty")
    return value.replace("\r\n", "\n")


def _defined(program: str) -> tuple[str, ...]:
    """Return the functions and classes of a program."""
    if not _parses(program):
        return ()
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return tuple(part.name for part in ast.parse(program).body if isinstance(part, kinds))


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


PROGRAMS: dict[str, Callable[[Problem, str], str]] = {
    "continue": as_continued,
    "chat": as_answered,
    "reference": as_continued,
}
"""How what was written becomes a program, by the way of asking."""
