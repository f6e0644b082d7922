"""The command line: finds the verb, runs it, turns errors into one message and an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import typer
import typer.core

from luban.cli.launch import Job, follow_parent, say_final
from luban.errors import LubanError

VERBS = (
    "run",
    "data",
    "tokenizer",
    "advise",
    "certify",
    "train",
    "tune",
    "predict",
    "generate",
    "translate",
    "chat",
    "evaluate",
    "compare",
    "gate",
    "runs",
    "inspect",
    "export",
    "serve",
    "report",
    "why",
    "doctor",
)
"""One module each in this package, in the order of the craft."""

MANY = ("train", "run")
"""Verbs that several processes can share."""
STOPPED = 130
USAGE_ERROR: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""What typer raises for a wrong command line; newer ones carry a click of their own."""


def build_app(verbs: tuple[str, ...] = VERBS) -> typer.Typer:
    """Return the app with these verbs; a verb's module holds `app` or a function of its name."""
    app = typer.Typer(
        name="luban",
        cls=_InOrder,
        help="From raw text to a trained, scored, served language model. Start: luban run quickstart",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_version)
    for verb in verbs:
        module = importlib.import_module(f"luban.cli.{verb}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb)
        else:
            app.command(verb)(getattr(module, verb))
    return app


class _InOrder(typer.core.TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        """Return the verbs in the order of the craft."""
        return [verb for verb in VERBS if verb in self.commands]


def _version(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        from luban import __version__

        print(f"luban {__version__}")
        raise typer.Exit()


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 our bug, 2 your input, 3 a gate said no."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = _run(arguments)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # an exception would be printed while Python shuts down
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    named = tuple(a for a in arguments[:1] if a in VERBS)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        follow_parent()
    try:
        if named and named[0] in MANY and (job := Job.take(arguments)):
            return job.run()
        code = build_app(named or VERBS)(arguments, prog_name="luban", standalone_mode=False)
        if code == STOPPED:  # typer turns Ctrl-C into this code
            return _stopped()
        return code if isinstance(code, int) else 0
    except LubanError as e:
        if e.is_final and "RANK" in os.environ and not say_final(e.exit_code):
            return e.exit_code
        return _fail(e.problem, e.fix, e.exit_code)
    except USAGE_ERROR as e:
        return _fail_usage(e)
    except (typer.Abort, KeyboardInterrupt):
        return _stopped()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _fail(problem: str, fix: str, code: int) -> int:
    rank = os.environ.get("RANK", "0")
    whose = "error" if rank == "0" else f"process {rank}: error"
    print(f"{whose}: {problem}\n  fix: {fix}", file=sys.stderr)
    return code


def _fail_usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "luban"
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
        return 2
    message = error.format_message().rstrip(".")
    return _fail(message[:1].lower() + message[1:], f"see {command} --help", 2)


def _stopped() -> int:
    print("stopped; finished stages are kept, the same command goes on", file=sys.stderr)
    return STOPPED


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
