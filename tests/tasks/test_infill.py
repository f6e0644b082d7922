"""Marks of infilling, and cuts between characters."""

from __future__ import annotations

import pytest
import torch

from luban.objectives.fill_in_the_middle import rearranged
from luban.tasks.infill import MARKS, at_characters, find_marks, infill_of, with_marks
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.train import train_bpe
from tests.objectives.toys import generator, rows

TEXTS = ["def add(first, second):\n    return first + second\n", "# 求两数之和\n总数 = 0\n"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return with_marks(train_bpe(TEXTS * 20, 320, template=False))


def test_marks_follow_the_vocabulary_and_come_back_from_disk(tokenizer, tmp_path):
    plain = train_bpe(TEXTS * 20, 320, template=False)
    marked = with_marks(plain)
    marked.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert [again.token_id(name) for name in MARKS] == [plain.vocab_size + i for i in range(4)]
    assert find_marks(again) == tuple(plain.vocab_size + i for i in (0, 2, 1))
    assert again.special_ids >= {plain.vocab_size + i for i in range(4)}
    assert again.encode("<|fim_middle|>") == plain.encode("<|fim_middle|>")  # typed by a user, it is text


@pytest.mark.parametrize("text", TEXTS)
def test_every_cut_between_characters_happens_and_the_parts_are_those_of_asking(tokenizer, text):
    divide, ids = at_characters(tokenizer), tokenizer.encode(text)
    begins = set()
    for first, second in torch.rand(600, 2, generator=generator()).tolist():
        parts = divide(ids, first, second, 0.0)
        prefix, middle, suffix = map(tokenizer.decode, parts)
        assert prefix + middle + suffix == text
        assert list(parts) == [tokenizer.encode(part) for part in (prefix, middle, suffix)]
        begins.add(len(prefix))
    assert len(begins) > 0.9 * len(text) > len(ids)


def test_a_middle_may_be_the_rest_of_a_line(tokenizer):
    divide, ids = at_characters(tokenizer, line_share=0.5), tokenizer.encode(TEXTS[0])
    for first in torch.rand(50, generator=generator()).tolist():
        prefix, middle, suffix = map(tokenizer.decode, divide(ids, first, 0.9, 0.4))
        assert "\n" not in middle
        assert suffix.startswith("\n") or not suffix
        assert prefix + middle + suffix == TEXTS[0]


def test_a_window_that_begins_within_a_character_is_cut_between_tokens(tokenizer):
    ids = tokenizer.encode("\U0001f600 = 1")  # four bytes, never merged
    prefix, middle, suffix = at_characters(tokenizer)(ids[1:], 0.3, 0.8, 0.0)
    assert prefix + middle + suffix == ids[1:]


def test_rearranged_rows_spell_the_document(tokenizer):
    end = tokenizer.eos_id
    infill = infill_of(tokenizer, end, share=1.0, spm_share=0.0)
    ids = [*tokenizer.encode(TEXTS[0]), end]
    made = rearranged(rows([[*ids, *[0] * 20]], [[1] * len(ids) + [0] * 20]), infill, generator())
    out = made.tokens[0][made.documents[0] == 1].tolist()
    suf, mid = out.index(infill.suffix_id), out.index(infill.middle_id)
    whole = tokenizer.decode(out[1:suf]) + tokenizer.decode(out[mid + 1 :]) + tokenizer.decode(out[suf:mid])
    assert whole == TEXTS[0]
