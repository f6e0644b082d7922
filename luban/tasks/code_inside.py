"""Run a program and then its tests: a process beside it keeps from the program what it must not know.

A program can read all that its own process holds. So the tests come only when it has been read to its end,
in a namespace of their own, and the mark of success stays with the other process, whose memory and files
nobody in the sandbox can read. Its text is given to the interpreter inside, so it imports nothing of Luban.
"""

from __future__ import annotations

import builtins
import copy
import math
import operator
import os
import select
import sys
from functools import wraps
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any

PROGRAM, SECRET = "program.py", "secret"
IS_READ, IS_DONE = b"read", b"done"
ATOMS = (int, float, str, bytes, bool, complex, type(None))
KEPT = [
    (module.__name__, module, vars(module), dict(vars(module))) for module in (builtins, math, operator, copy)
]
"""Modules that tests judge with, and what is in them: the program may have changed it."""
LOOK_EVERY_SECONDS = 0.02
MOST_PARTS = 1000


def main() -> None:
    """Part into the process of the program and the one that judges it."""
    asked, answered = os.pipe(), os.pipe()
    child = os.fork()
    if child:
        os.close(asked[1])
        os.close(answered[0])
        os._exit(_judge(child, asked[0], answered[1]))
    os.close(asked[0])
    os.close(answered[1])
    _run(asked[1], answered[0])


def _judge(child: int, asked: int, answered: int) -> int:
    """Give out the tests, write the mark if the program came to their end; return its exit code."""
    with open(SECRET, encoding="utf-8") as file:
        mark, rest = file.read().split("\n", 1)
    for name in (SECRET, sys.argv[0]):
        os.unlink(name)
    os.write(answered, b"!")
    code, heard = _next(child, asked)
    is_right = False
    if heard == IS_READ:
        _give(answered, rest)
        code, heard = _next(child, asked)
        if heard == IS_DONE:
            code, heard = _next(child, asked)
            is_right = code == 0
    if code is None:
        print("it says what no program has to say", file=sys.stderr, flush=True)
        return 1
    if is_right:
        os.write(1, mark.encode())
    return code


def _give(answered: int, text: str) -> None:
    try:
        with open(answered, "wb") as pipe:
            pipe.write(text.encode())
    except BrokenPipeError:
        print("it ended while its tests were read", file=sys.stderr, flush=True)


def _next(child: int, asked: int) -> tuple[int | None, bytes]:
    """Wait for a word of the program, or for its end; return exit code and word."""
    while True:
        ready, _, _ = select.select([asked], [], [], LOOK_EVERY_SECONDS)
        if ready and (heard := os.read(asked, 64)):
            return None, heard
        ended, status = os.waitpid(child, 0 if ready else os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return (code if code >= 0 else 128 - code), b""


def _run(asking: int, answers: int) -> None:
    """Run the program, then its tests, as the main module."""
    os.read(answers, 1)  # the secret is no file any more
    with open(PROGRAM, encoding="utf-8") as file:
        text = file.read()
    module = sys.modules["__main__"] = ModuleType("__main__")
    vars(module).update(__file__=PROGRAM, __builtins__=builtins)
    sys.argv = [PROGRAM]
    ours, kept, untrace, unprofile, write = globals(), dict(globals()), sys.settrace, sys.setprofile, os.write
    exec(compile(text, PROGRAM, "exec", dont_inherit=True), vars(module))
    ours.clear()  # by names that the program cannot have changed
    ours.update(kept)
    untrace(None)
    unprofile(None)
    _restore()
    write(asking, IS_READ)
    with open(answers, encoding="utf-8") as pipe:
        names, tests = pipe.read().split("\n", 1)
    exec(compile(tests, "tests.py", "exec", dont_inherit=True), _seen(vars(module), names.split(",")))
    write(asking, IS_DONE)


def _seen(program: dict[str, Any], tested: list[str]) -> dict[str, Any]:
    """Return what the tests see: the program's names, but for those that would hide a builtin."""
    plain = dict(KEPT[0][3])
    seen = {k: v for k, v in program.items() if k not in plain or k in tested}
    for name, value in seen.items():
        if isinstance(value, FunctionType) or (name in tested and not isinstance(value, type)):
            seen[name] = _checked(value)
    return seen | {"__name__": "__main__", "__builtins__": plain}


def _checked(function: Any) -> Any:
    """Return a function whose answers are refused if they say of themselves that they are right."""
    if not callable(function):
        return function

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        answer = function(*arguments, **named)
        _restore()
        if _equals_all(answer):
            raise AssertionError("an answer that is equal to everything")
        return answer

    return call


def _equals_all(value: object, depth: int = 4) -> bool:
    if type(value) in ATOMS:
        return False
    if isinstance(value, list | tuple | set | frozenset | dict):
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        if depth and any(_equals_all(part, depth - 1) for part in islice(parts, MOST_PARTS)):
            return True
    try:
        return (value == object()) is True
    except Exception:  # whatever it is, it is not equal
        return False


def _restore() -> None:
    """Undo what was done to the modules that tests judge with."""
    for name, module, now, before in KEPT:
        sys.modules[name] = module
        now.update(before)


if __name__ == "__main__":
    main()
