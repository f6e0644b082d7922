"""Answers by the chat template: the same with and without memory, no special tokens, old turns dropped."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from luban.errors import CheckpointError, DataError
from luban.generate import SamplingSettings
from luban.generate.decode import decode
from luban.generate.reader import Prompts
from luban.generate.speaker import Speaker
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.model import Model
from luban.tokenizer import Tokenizer
from tests.tokenizer.test_chat import CHATML, speaking

GREEDY = SamplingSettings(temperature=0, max_new_tokens=12)
ASKED = {"role": "user", "content": "hello 你好"}


def model_for(tokenizer: Tokenizer, max_len: int = 400) -> Model:
    torch.manual_seed(3)
    size = {"dim": 32, "n_layers": 2, "n_heads": 4, "max_len": max_len}
    config = FAMILIES["llama"].config("tiny", vocab_size=tokenizer.vocab_size, **size)
    return build_model(config).eval()


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    tokenizer = speaking(CHATML)
    with Speaker(model_for(tokenizer), tokenizer) as speaker:
        yield speaker


def said(speaker: Speaker, messages: Any, settings: SamplingSettings = GREEDY, **more: Any) -> str:
    return "".join(piece.text for piece in speaker.answer(messages, settings, **more).pieces)


def scripted(speaker: Speaker, monkeypatch: pytest.MonkeyPatch, text: str, *special: str) -> None:
    """Let the model say a text, spelt in bytes, and then special tokens."""
    ids = speaker.tokenizer.encode(text) + [speaker.tokenizer.token_id(token) for token in special]

    def read(row: Any) -> torch.Tensor:
        scores = torch.zeros(1, speaker.tokenizer.vocab_size)
        scores[0, ids[min(len(row) - prompt, len(ids) - 1)]] = 9.0
        return scores

    prompt = len(speaker.template.prompt_ids([ASKED]))
    monkeypatch.setattr(speaker.memory, "read", read)


def test_the_end_of_a_turn_ends_an_answer_whatever_the_model_thinks(speaker: Speaker) -> None:
    assert speaker.end_ids == {speaker.tokenizer.token_id("<|im_end|>"), speaker.tokenizer.eos_id}


def test_turn_by_turn_the_same_is_said_as_by_the_decoding_loop_on_the_whole_prompt(speaker: Speaker) -> None:
    talk: list[Any] = []
    for question in ("hello 你好", "and?", "什么"):
        talk.append({"role": "user", "content": question})
        ids = speaker.template.prompt_ids(talk)
        (expected,) = decode(speaker.model, Prompts([ids]), GREEDY, end_ids=speaker.end_ids)
        answer = said(speaker, talk)
        assert answer == speaker.tokenizer.decode(expected).rstrip("\ufffd")
        talk.append({"role": "assistant", "content": answer or "-"})


def test_the_next_turn_reads_what_is_new_alone(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    said(speaker, [ASKED], dataclasses.replace(GREEDY, max_new_tokens=1))
    known = len(speaker.template.prompt_ids([ASKED]))
    talk = [ASKED, {"role": "assistant", "content": "yes"}, ASKED]
    before = speaker.memory.n_read
    said(speaker, talk, dataclasses.replace(GREEDY, max_new_tokens=1))
    assert speaker.memory.n_read - before == len(speaker.template.prompt_ids(talk)) - known


def test_a_seed_decides_the_draws(speaker: Speaker) -> None:
    draws = [said(speaker, [ASKED], SamplingSettings(max_new_tokens=12, seed=seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_characters_come_whole_and_an_incomplete_one_never(
    speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(speaker, monkeypatch, "你好，世界", "<|im_end|>")
    for most in (2, 4, 30):
        pieces = list(speaker.answer([ASKED], dataclasses.replace(GREEDY, max_new_tokens=most)).pieces)
        assert "".join(p.text for p in pieces) == "你好，世界"[: most // 3]
        assert all("\ufffd" not in p.text for p in pieces)
        assert pieces[-1].finish == ("stop" if most == 30 else "length")


def test_special_tokens_are_not_said_not_even_spelt_out(
    speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(speaker, monkeypatch, "fine<|im_end|>\n<|im_start|>user", "<|im_end|>")
    assert said(speaker, [ASKED], dataclasses.replace(GREEDY, max_new_tokens=60)) == "fine"
    scripted(speaker, monkeypatch, "fine", "<|im_start|>", "<|im_end|>")
    assert said(speaker, [ASKED]) == "fine"


def test_a_stop_text_ends_an_answer_before_itself(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(speaker, monkeypatch, "one two three", "<|im_end|>")
    assert said(speaker, [ASKED], dataclasses.replace(GREEDY, stop=("two",), max_new_tokens=30)) == "one "


def test_the_oldest_turns_are_dropped_where_the_context_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = speaking(CHATML)
    with Speaker(model_for(tokenizer, 160), tokenizer) as speaker:
        talk: list[Any] = [{"role": "system", "content": "Be short."}]
        for i in range(4):
            talk += [
                {"role": "user", "content": f"question {i}"},
                {"role": "assistant", "content": f"answer {i}"},
            ]
        talk.append({"role": "user", "content": "last"})
        answering = speaker.answer(talk, GREEDY)
        assert answering.n_dropped in (2, 4, 6)
        kept = [talk[0], *talk[1 + answering.n_dropped :]]
        assert answering.n_prompt_tokens == len(speaker.template.prompt_ids(kept)) <= 160 - 12
        assert len(speaker.template.prompt_ids([talk[0], *talk[answering.n_dropped - 1 :]])) > 160 - 12
        with pytest.raises(DataError, match="the conversation takes"):
            speaker.answer(talk, GREEDY, drop=False)
        with pytest.raises(DataError, match="the last message takes"):
            speaker.answer([{"role": "user", "content": "x" * 200}], GREEDY)
        list(speaker.answer([ASKED], dataclasses.replace(GREEDY, max_new_tokens=5000)).pieces)


def test_marks_of_the_template_are_refused_and_models_that_cannot_write_too(speaker: Speaker) -> None:
    with pytest.raises(DataError, match="mark of the chat template"):
        speaker.answer([{"role": "user", "content": "<|im_end|>"}], GREEDY)
    tokenizer = speaking(CHATML)
    size = {"dim": 32, "n_layers": 1, "n_heads": 4, "max_len": 64}
    with pytest.raises(CheckpointError, match="cannot write"):
        Speaker(
            build_model(FAMILIES["bert"].config("tiny", vocab_size=tokenizer.vocab_size, **size)), tokenizer
        )
    with pytest.raises(DataError, match="has no chat template"):
        Speaker(model_for(tokenizer), speaking(None))
