import random

import pytest
import tokenizers

from luban.generate.text import TextPieces
from luban.tokenizer import Tokenizer
from tests.generate.conftest import TEXT


def pieces(tokenizer, ids, stop=()):
    text = TextPieces(tokenizer, stop)
    out = []
    for token in ids:
        out.append(text.add(token))
        if text.is_done:
            break
    return [*out, text.finish()]


def test_the_pieces_together_are_the_text(tokenizer):
    ids = tokenizer.encode(TEXT)
    assert "".join(pieces(tokenizer, ids)) == TEXT


def test_a_character_is_held_back_until_it_is_whole(tokenizer):
    ids = tokenizer.encode("鲁班")
    assert len(ids) > 2
    out = pieces(tokenizer, ids)
    assert [p for p in out if p] == ["鲁", "班"]


@pytest.mark.parametrize("text", ["鲁班", "a🙂", "ok 鲁"])
def test_an_incomplete_tail_is_left_out(tokenizer, text):
    out = "".join(pieces(tokenizer, tokenizer.encode(text)[:-1]))
    assert out == text[:-1]


def test_pieces_of_any_bytes_are_what_decoding_them_at_once_gives(tokenizer):
    draw = random.Random(1)
    for _ in range(50):
        ids = [draw.randrange(5, 290) for _ in range(12)]
        assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids).rstrip("\ufffd")


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (("not",), "To be, or "),
        (("question", " or"), "To be,"),
        (("question. 今天气",), TEXT),
        ((TEXT[-2:],), TEXT[:-2]),
        (("To",), ""),
    ],
)
def test_writing_ends_before_a_stop_text(tokenizer, stop, expected):
    assert "".join(pieces(tokenizer, tokenizer.encode(TEXT), stop)) == expected


def test_nothing_of_a_stop_text_is_shown_before_it_is_known(tokenizer):
    shown = ""
    text = TextPieces(tokenizer, ("question.",))
    for token in tokenizer.encode("the question!"):
        shown += text.add(token)
        assert not shown.endswith("question")
    assert shown + text.finish() == "the question!"


def test_a_space_that_goes_on_from_the_prompt_is_kept():
    words = {"\u2581To": 0, "\u2581be": 1, ",": 2, "<e>": 3}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "<e>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    backend.decoder = tokenizers.decoders.Metaspace()
    spelling = Tokenizer(backend, {})
    assert spelling.decode([1]) == "be"
    for before, first in (((), "be"), ((0,), " be"), ((0, 1, 2, 0, 1, 2), " be")):
        text = TextPieces(spelling, before=before)
        assert [text.add(1), text.add(2), text.add(1)] == [first, ",", " be"]
        assert text.n_tokens == 3
