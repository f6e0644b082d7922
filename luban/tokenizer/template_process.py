"""Renders one chat template, as a process of its own: a template is a program that somebody else wrote.

Run by path, by `luban.tokenizer.chat`. Each line read is JSON, and so is each line answered: first the
template and the values of its constants, then what to render. It may compute for CPU_SECONDS a
conversation, hold MEMORY_BYTES, and write nothing but its answers, of at most TEXT_CHARS. Variables,
filters and whitespace are those that the library `transformers` gives a template; the date is not told,
so that the same rows give the same text on another day.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_SECONDS, MEMORY_BYTES, TEXT_CHARS = 2.0, 1 << 30, 1 << 20


def main() -> None:
    """Answer until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is meant for the other side
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    first = json.loads(sys.stdin.buffer.readline() or b"{}")
    template: list[jinja2.Template] = []

    def start() -> str:
        template.append(_environment().from_string(first["template"]))
        return ""

    _answer(start)
    while line := sys.stdin.buffer.readline():
        values = first["constants"] | json.loads(line)
        _answer(partial(_render, template[0], values))


def _answer(work: Callable[[], str]) -> None:
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # whose signal ends the process
    try:
        answer = {"text": work()}
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as e:
        answer = {"error": f"{type(e).__name__}: {e}"[:500]}
    except (MemoryError, RecursionError, AssertionError, NotImplementedError) as e:
        answer = {"error": type(e).__name__}
    signal.setitimer(signal.ITIMER_PROF, 0)
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


def _render(template: jinja2.Template, values: dict[str, Any]) -> str:
    pieces, size = [], 0
    for piece in template.generate(**values):
        pieces.append(piece)
        size += len(piece)
        if size > TEXT_CHARS:
            raise ValueError(f"the text is longer than {TEXT_CHARS} characters")
    return "".join(pieces)


def _environment() -> jinja2.Environment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    return environment


def _to_json(value: Any, indent: int | None = None, **more: Any) -> str:
    keys: dict[str, Any] = {k: more[k] for k in ("ensure_ascii", "separators", "sort_keys") if k in more}
    return json.dumps(value, indent=indent, **({"ensure_ascii": False} | keys))


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


class _Generation(Extension):
    """{% generation %} … {% endgeneration %}: what is inside, as it is."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

    def _inside(self, caller: Any) -> str:
        return caller()


if __name__ == "__main__":
    main()
