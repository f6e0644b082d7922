"""A conversation by the command line: piped, typed, broken off, saved and taken up again."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from luban.cli.chat_session import COMMANDS, Session, converse, harmless
from luban.errors import DataError
from luban.generate import SamplingSettings
from luban.generate.speaker import Answering
from luban.generate.writing import Written
from luban.models.load import save_model
from tests.cli.conftest import Command
from tests.generate.test_speaker import model_for
from tests.tokenizer.test_chat import CHATML, speaking


@dataclass
class Echo:
    """Says what was asked last, a character a piece; "stop" is broken off, "quiet" gets no answer."""

    asked: list[list[Any]] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    n_dropped: int = 0
    model: Any = field(default_factory=lambda: SimpleNamespace(config=SimpleNamespace(max_len=64)))

    def answer(self, messages: Any, settings: SamplingSettings) -> Answering:
        if "refuse" in messages[-1]["content"]:
            raise DataError("no", fix="ask otherwise")
        self.asked.append(list(messages))
        self.seeds.append(settings.seed)
        return Answering(1, self.n_dropped, self._pieces(messages[-1]["content"]))

    def _pieces(self, text: str) -> Iterator[Written]:
        for i, character in enumerate("" if text == "quiet" else text):
            if text == "stop" and i == 2:
                raise KeyboardInterrupt
            yield Written(0, character, i + 1)


@pytest.fixture
def session() -> Session:
    echo: Any = Echo()
    return Session(echo, SamplingSettings(temperature=0.5))


def roles(session: Session) -> str:
    return " ".join(m["role"] for m in session.messages)


def test_lines_are_answered_and_kept(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("hello", "  ", "你好"):
        session.take(text)
    assert capsys.readouterr().out == "hello\n你好\n"
    assert roles(session) == "user assistant user assistant"
    session.take("/reset")
    assert session.messages == []


def test_what_a_model_says_moves_no_cursor(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.take("a\x1b[2Jb\r\x07\x9b\u202ec\td")
    assert capsys.readouterr().out == "a\ufffd[2Jb\ufffd\ufffd\ufffd\ufffdc\td\n"
    assert harmless("多行\n文字 é 👍") == "多行\n文字 é 👍"


def test_an_answer_that_is_broken_off_stays_as_far_as_it_went(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    session.take("stop")
    session.take("go on")
    out, err = capsys.readouterr()
    assert out == "st\ngo on\n"
    assert "(stopped)" in err
    assert session.turns[1] == {"role": "assistant", "content": "st"}


def test_no_answer_takes_the_question_back(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.take("quiet")
    session.take("refuse")
    assert session.turns == []
    assert "fix: ask otherwise" in capsys.readouterr().err


def test_undo_and_retry(session: Session) -> None:
    session.take("one")
    session.take("two")
    session.take("/retry")
    session.take("/retry")
    assert session.speaker.seeds == [1, 1, 2, 3]  # type: ignore[attr-defined]
    assert session.speaker.asked[-1][-1]["content"] == "two"  # type: ignore[attr-defined]
    session.take("/undo")
    assert [m["content"] for m in session.turns] == ["one", "one"]
    session.take("/undo")
    assert session.turns == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/undo", "nothing to take back"),
        ("/retry", "nothing to answer again"),
        ("/sytem x", "did you mean system"),
        ("/set temperature=-1", "temperature = -1"),
        ("/set heat=1", "heat"),
        ("/set temperature", "not KEY=VALUE"),
        ("/save", "no file is named"),
        ("/save /nowhere/x", "cannot be written"),
        ("/load /nowhere/x", "holds no conversation"),
    ],
)
def test_a_mistake_is_told_and_the_conversation_goes_on(
    text: str, says: str, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    session.take(text)
    session.take("hello")
    out, err = capsys.readouterr()
    assert says in err
    assert out == "hello\n"


def test_settings_are_changed_and_shown(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.take("/set temperature=0 top_p=0.5")
    assert (session.settings.temperature, session.settings.top_p) == (0, 0.5)
    assert "top_p=0.5" in capsys.readouterr().err
    session.take("/help")
    err = capsys.readouterr().err
    assert all(f"/{name}" in err for name in COMMANDS)


def test_a_saved_conversation_is_a_row_to_train_on_and_is_taken_up_again(
    session: Session, tmp_path: Path
) -> None:
    from luban.data.messages import read_conversations

    session.take("/system 简短。")
    session.take("你好")
    session.take(f"/save {tmp_path / 'talk.jsonl'}")
    (talk,) = read_conversations(tmp_path / "talk.jsonl").kept
    assert list(talk.messages) == session.messages
    other = Session(session.speaker, session.settings)
    other.take(f"/load {tmp_path / 'talk.jsonl'}")
    assert (other.system, other.messages) == ("简短。", session.messages)
    (tmp_path / "bad.jsonl").write_text('{"messages": [{"role": "assistant", "content": "x"}]}')
    other.take(f"/load {tmp_path / 'bad.jsonl'}")
    assert other.messages == session.messages


def test_dropped_turns_are_told(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.speaker.n_dropped = 4  # type: ignore[attr-defined]
    session.take("hello")
    assert "the 4 oldest messages do not fit the context of 64 tokens" in capsys.readouterr().err


def test_several_lines_are_one_message(
    session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('a\\\nb\n"""\n一\n\n二\n"""\n/quit\nnever\n'))
    converse(session)
    assert [m["content"] for m in session.turns[::2]] == ["a\nb", "一\n\n二"]


def test_a_tiny_model_answers_what_is_piped(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = speaking(CHATML)
    save_model(model_for(tokenizer), tmp_path / "model")
    tokenizer.save(tmp_path / "model")
    lines = ["你好", "/set temperature=0", "and?", f"/save {tmp_path / 'x.jsonl'}"]
    monkeypatch.setattr(
        "sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(lines).encode() + b"\n\xff\xfe\n"))
    )
    found = command("chat", tmp_path / "model", "--system", "Be short.", "--max-new-tokens", 5)
    assert found.code == 0, found.err
    assert json.loads((tmp_path / "x.jsonl").read_text())["messages"][0]["content"] == "Be short."
    again = [
        command("chat", tmp_path / "model", "who?", "--temperature", 0, "--max-new-tokens", 5)
        for _ in range(2)
    ]
    assert again[0].code == 0
    assert again[0].out == again[1].out
    speaking(None).save(tmp_path / "model")
    refused = command("chat", tmp_path / "model", "who?")
    assert refused.code == 2
    assert "has no chat template" in refused.err
