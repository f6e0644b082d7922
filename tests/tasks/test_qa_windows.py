"""Windows of tokens: the answer's characters come back from its positions, in any script and tokenizer."""

import numpy as np
import pytest
import torch
from tokenizers import processors

from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.tasks.qa_rows import Asked
from luban.tasks.qa_windows import Encoder, Shape, WindowBatches, frame_of, match_levels, starts, trimmed
from luban.tokenizer.train import train_bpe

TEXTS = ("他在北京工作，2019年去了上海。𠮷野家在哪里？", "The Summer Palace is in Beijing; 3.5 km away.") * 4
CONTEXTS = {
    "zh": "《红楼梦》是曹雪芹写的，龘字很少见；𠮷野家在北京。" * 3,
    "en": "The  Summer Palace, built in 1750, is in Beijing.\n\tIt is 3.5 km away – naïve café 😀! " * 3,
}


def config(family="bert", **more):
    tokenizer = train_bpe(TEXTS, 400, template=family in ("bert", "roberta"), **more)
    made = FAMILIES[family].config(
        "tiny",
        vocab_size=tokenizer.vocab_size,
        head=HeadConfig(kind="spans", bias=True),
        pad_id=tokenizer.pad_id,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
    )
    return tokenizer, made


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("han_alone", [True, False])
def test_the_answer_comes_back_from_its_positions(language, han_alone):
    tokenizer, made = config(han_alone=han_alone)
    context = CONTEXTS[language]
    encoder = Encoder(tokenizer, made, Shape(max_len=64, overlap=24, max_question=12))
    rng = np.random.default_rng(3)
    n_found = 0
    for _ in range(60):
        start = int(rng.integers(0, len(context) - 2))
        end = int(rng.integers(start + 1, min(start + 9, len(context)) + 1))
        if context[start:end] != context[start:end].strip():
            continue
        windows = list(
            encoder.windows([Asked("1", "哪里 where?", context, (context[start:end],), ((start, end),))])
        )
        for w in (w for w in windows if w.has_answer):
            n_found += 1
            ((first, last),) = w.targets
            said = context[w.places[first - w.offset][0] : w.places[last - w.offset][1]]
            assert context[start:end] in said
            assert said == said.strip()
            if language == "zh" and han_alone and not said.isascii():
                assert len(said) <= end - start + 4  # no more than the rest of a Latin or digit token
    assert n_found > 30


def test_windows_cover_every_token_and_share_the_overlap():
    for n, room, overlap in (
        (10, 6, 2),
        (1, 6, 2),
        (6, 6, 2),
        (7, 6, 5),
        (100, 7, 0),
        (0, 5, 1),
        (50, 3, 99),
    ):
        found = starts(n, room, overlap)
        seen = {i for s in found for i in range(s, s + room)}
        assert set(range(n)) <= seen
        assert found[0] == 0
        assert all(b - a <= room - min(overlap, room // 2) for a, b in zip(found, found[1:], strict=False))
        assert n <= room or found[-1] + room == n


def test_an_answer_cut_by_a_window_is_no_answer_there():
    tokenizer, made = config(han_alone=True)
    context = "北京" * 40
    shape = Shape(max_len=32, overlap=8, max_question=4)
    windows = list(
        Encoder(tokenizer, made, shape).windows([Asked("1", "哪", context, ("北京",), ((40, 42),))])
    )
    assert len(windows) > 2
    for w in windows:
        first, last = w.places[0][0], w.places[-1][1]
        assert w.has_answer == (first <= 40 and last >= 42)
        assert w.has_answer or w.targets == ((0, 0),)


def test_every_right_answer_is_a_target_and_a_row_without_one_points_at_the_frame():
    tokenizer, made = config(han_alone=True)
    rows = [
        Asked("1", "哪", "北京和上海", ("北京", "上海", "北京"), ((0, 2), (3, 5))),
        Asked("2", "谁", "北京和上海"),
    ]
    encoder = Encoder(tokenizer, made, Shape(32, 8, 4))
    windows = list(encoder.windows(rows))
    assert [len(w.targets) for w in windows] == [2, 1]
    assert windows[1].targets == ((0, 0),)
    batches = WindowBatches(windows, tokens_per_batch=64, seed=1, pad_id=0, with_segments=True)
    (batch,) = batches.in_order()
    assert batch.targets.shape == (2, 4)
    assert (batch.targets[list(batch.ids).index(1)][2:] == -100).all()
    assert batch.segments is not None
    assert batch.segments.shape == batch.tokens.shape
    assert ((batch.segments == 1) | (batch.segments == 0)).all()
    assert int(batch.segments.max()) == 1


def test_the_frame_is_the_tokenizers_own():
    bert, made = config("bert")
    cls, sep = bert.cls_id, bert.sep_id
    frame = frame_of(bert, made)
    assert (frame.before, frame.between, frame.after) == ((cls,), (sep,), (sep,))
    assert frame.segments == (0, 1)
    assert not frame.null_is_last
    roberta, made = config("roberta")
    roberta._backend.post_processor = processors.RobertaProcessing(("<|sep|>", sep), ("<|cls|>", cls))
    frame = frame_of(roberta, made)
    assert (frame.before, frame.between, frame.after) == ((cls,), (sep, sep), (sep,))
    assert frame.segments == (0, 0)


def test_a_decoder_says_at_its_last_token_that_there_is_no_answer():
    llama, made = config("llama")
    frame = frame_of(llama, made)
    assert frame.before == ()
    assert frame.after
    assert frame.null_is_last
    (window,) = Encoder(llama, made, Shape(64, 8, 8)).windows([Asked("1", "哪", "北京")])
    assert window.null == len(window.ids) - 1
    assert window.targets == ((window.null, window.null),)


def test_a_question_that_is_too_long_leaves_room_for_the_context():
    tokenizer, made = config(han_alone=True)
    row = Asked("1", "哪" * 500, "北京" * 30, ("北京",), ((0, 2),))
    windows = list(Encoder(tokenizer, made, Shape(40, 8, 400)).windows([row]))
    assert all(len(w.ids) <= 40 and len(w.places) >= 17 for w in windows)


def test_matches_are_told_by_how_long_a_run_of_the_question_they_are_in():
    assert match_levels([5, 6, 7], [9, 6, 7, 9, 5], 2) == [0, 2, 2, 0, 1]
    assert match_levels([5, 6, 7, 8], [5, 6, 7, 8, 1, 6, 8], 3) == [3, 3, 3, 3, 0, 1, 1]
    assert match_levels([], [1, 2], 3) == [0, 0]
    assert match_levels([1], [1], 0) == [0]


def test_matches_are_segments_after_the_contexts_own():
    tokenizer, made = config(han_alone=True)
    (window,) = Encoder(tokenizer, made, Shape(64, 8, 8, 2)).windows([Asked("1", "北京", "上海北京北")])
    assert window.segments == [0, 0, 0, 0, 1, 1, 3, 3, 2, 1]


def test_spaces_around_tokens_are_no_part_of_them():
    assert trimmed(" a  b ", [(0, 2), (2, 4), (3, 6)]) == [(1, 2), (4, 4), (4, 5)]


def test_batches_depend_on_seed_and_step_alone():
    tokenizer, made = config(han_alone=True)
    rows = [Asked(str(i), "哪", "北京" * (1 + i % 7), ("北京",), ((0, 2),)) for i in range(40)]
    windows = list(Encoder(tokenizer, made, Shape(40, 8, 4)).windows(rows))
    make = lambda: WindowBatches(windows, tokens_per_batch=60, seed=4, pad_id=0, with_segments=True)  # noqa: E731
    one, other = make(), make()
    for step in (3, 1, 7):
        for a, b in zip(one.at(step), other.at(step), strict=True):
            assert torch.equal(a.tokens, b.tokens)
            assert torch.equal(a.segments, b.segments)
    seen = sorted(i for step in range(1, one.steps_per_epoch + 1) for b in one.at(step) for i in b.ids)
    assert seen == list(range(len(windows)))
