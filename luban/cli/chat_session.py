"""A conversation in the terminal: what is typed, the commands, and what is printed."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luban.config import Tree, fill, nearest, override, resolved
from luban.errors import DataError, DiskError, LubanError
from luban.generate.settings import SamplingSettings

if TYPE_CHECKING:
    from luban.generate.speaker import Speaker

BLOCK = '"""'
DIRECTION_MARKS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Characters that turn the direction of what follows, so that a text reads other than it is."""
HARMLESS = {
    **dict.fromkeys((*range(32), *range(0x7F, 0xA0), *DIRECTION_MARKS), "\N{REPLACEMENT CHARACTER}"),
    **{ord(kept): kept for kept in "\n\t"},
}


def harmless(text: str) -> str:
    """Return a text that moves no cursor and rings no bell, whatever a model wrote."""
    return text.translate(HARMLESS)


class Session:
    """The turns so far, how answers are drawn, and the commands that change them."""

    def __init__(self, speaker: Speaker, settings: SamplingSettings):
        self.speaker, self.settings = speaker, settings
        self.system = ""
        self.turns: list[dict[str, Any]] = []
        self.is_over = False
        self._n_retries = 0

    @property
    def messages(self) -> list[dict[str, Any]]:
        """System prompt and turns, as training data has them."""
        first = [{"role": "system", "content": self.system}] if self.system else []
        return first + self.turns

    def take(self, text: str) -> None:
        """Obey a command, or answer what is said."""
        if not text.strip():
            return
        try:
            if text.startswith("/"):
                self._command(text)
            else:
                self.ask(text)
        except LubanError as e:
            note(f"error: {e.problem}\n  fix: {e.fix}")

    def ask(self, text: str) -> None:
        """Say something, and print the answer as it is written."""
        self.turns.append({"role": "user", "content": text})
        self._n_retries = 0
        self._answer()

    def _answer(self) -> None:
        settings = dataclasses.replace(self.settings, seed=self.settings.seed + self._n_retries)
        said = ""
        try:
            answering = self.speaker.answer(self.messages, settings)
            if answering.n_dropped:
                n, context = answering.n_dropped, self.speaker.model.config.max_len
                note(f"(the {n} oldest messages do not fit the context of {context} tokens and are not read)")
            for piece in answering.pieces:
                said += piece.text
                print(harmless(piece.text), end="", flush=True)
        except KeyboardInterrupt:
            note("\n(stopped)")
        except LubanError:
            self.turns.pop()
            raise
        print(flush=True)
        if said.strip():
            self.turns.append({"role": "assistant", "content": said})
        else:  # an empty turn is none, and no template should see one
            self.turns.pop()
            note("(no answer; the question is taken back)")

    def _command(self, text: str) -> None:
        name, _, rest = text[1:].strip().partition(" ")
        if name not in COMMANDS:
            near = nearest(name, COMMANDS)
            raise DataError(
                f"there is no command /{name}",
                fix=f"{near}; or begin the message with a space before the slash",
            )
        COMMANDS[name][0](self, rest.strip())

    def help(self, rest: str) -> None:
        """Print the commands."""
        for name, (_, takes, says) in COMMANDS.items():
            note(f"/{name} {takes}".ljust(24) + says)

    def reset(self, rest: str) -> None:
        """Forget the turns, keep the system prompt."""
        self.turns = []
        note("(a new conversation)")

    def set_system(self, rest: str) -> None:
        """Give the system prompt, or show it."""
        if rest:
            self.system = rest
        note(f"(system: {self.system or 'none'})")

    def undo(self, rest: str) -> None:
        """Take the last question and its answer back."""
        asked = [i for i, turn in enumerate(self.turns) if turn["role"] == "user"]
        if not asked:
            raise DataError("there is nothing to take back", fix="say something first")
        self.turns = self.turns[: asked[-1]]
        note(f"({len(self.turns)} messages are left)")

    def retry(self, rest: str) -> None:
        """Answer the last question again, with other draws."""
        asked = [i for i, turn in enumerate(self.turns) if turn["role"] == "user"]
        if not asked:
            raise DataError("there is nothing to answer again", fix="say something first")
        self.turns = self.turns[: asked[-1] + 1]
        self._n_retries += 1
        self._answer()

    def set(self, rest: str) -> None:
        """Change how answers are drawn, or show it."""
        if rest:
            tree = override(Tree({"set": resolved(self.settings)}), [f"set.{pair}" for pair in rest.split()])
            self.settings = fill(SamplingSettings, tree.branch("set"), "set")
        note("  ".join(f"{key}={value}" for key, value in resolved(self.settings).items()))

    def save(self, rest: str) -> None:
        """Write the conversation as a line of training data."""
        try:
            Path(_named(rest)).write_text(
                json.dumps({"messages": self.messages}, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        except OSError as e:
            raise DiskError(f"{rest} cannot be written: {e.strerror}", fix="name another file") from None
        note(f"({len(self.messages)} messages in {rest})")

    def load(self, rest: str) -> None:
        """Go on with the conversation of a file."""
        from luban.data.encoding import Unreadable
        from luban.data.messages import check_order, read_messages

        try:
            first = Path(_named(rest)).read_text("utf-8").strip().partition("\n")[0]
            messages = list(check_order(read_messages(json.loads(first))))
        except (OSError, ValueError, Unreadable, AttributeError) as e:
            raise DataError(
                f"{rest} holds no conversation: {e}", fix="name a file that /save wrote"
            ) from None
        has_system = messages[0]["role"] == "system"
        self.system = messages[0]["content"] if has_system else ""
        self.turns = messages[has_system:]
        note(f"({len(messages)} messages)")

    def quit(self, rest: str) -> None:
        """End."""
        self.is_over = True


COMMANDS: dict[str, tuple[Callable[[Session, str], None], str, str]] = {
    "help": (Session.help, "", "these commands"),
    "reset": (Session.reset, "", "a new conversation, with the same system prompt"),
    "system": (Session.set_system, "[TEXT]", "give the system prompt, or show it"),
    "undo": (Session.undo, "", "take the last question and its answer back"),
    "retry": (Session.retry, "", "answer the last question again, with other draws"),
    "set": (Session.set, "[KEY=VALUE ...]", "how answers are drawn, such as /set temperature=0.3 top_p=0.9"),
    "save": (Session.save, "FILE", "write the conversation, as a line of training data"),
    "load": (Session.load, "FILE", "go on with a conversation that was written"),
    "quit": (Session.quit, "", "end; so does Ctrl-D"),
}
"""Name → what it does, what it takes, what /help says."""


def converse(session: Session) -> None:
    """Take what is typed, or piped, until it ends."""
    is_typed = sys.stdin.isatty()
    if is_typed:
        import readline  # noqa: F401  (arrow keys and history for input())

        note(f"/help lists commands, /quit or Ctrl-D ends (context {session.speaker.model.config.max_len})")
    elif hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    for text in _messages(is_typed):
        session.take(text)
        if session.is_over:
            return


def note(text: str) -> None:
    """Tell the person something that no model said."""
    print(harmless(text), file=sys.stderr, flush=True)


def _messages(is_typed: bool) -> Iterator[str]:
    """Yield what is said: a line, or several that belong together."""
    while (line := _line("> ", is_typed)) is not None:
        if line.strip() == BLOCK:
            lines = []
            while (line := _line('" ', is_typed)) is not None and line.strip() != BLOCK:
                lines.append(line)
            yield "\n".join(lines)
            continue
        lines = [line]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(_line("… ", is_typed) or "")
        yield "\n".join(lines)


def _line(prompt: str, is_typed: bool) -> str | None:
    while True:
        try:
            return input(prompt if is_typed else "").rstrip("\r")
        except EOFError:
            return None
        except KeyboardInterrupt:
            if not is_typed:
                raise
            note("\n(/quit or Ctrl-D ends)")


def _named(path: str) -> str:
    if not path:
        raise DataError("no file is named", fix="write its name behind the command")
    return path
