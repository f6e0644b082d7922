import pytest
import torch

from luban.errors import DataError
from luban.generate import SamplingSettings
from luban.generate.decode import Decoding, decode
from luban.generate.reader import Prompts, Reader
from luban.models.load import load_model
from tests.models import references
from tests.models.references import PAD, VOCAB, reference

GREEDY = SamplingSettings(temperature=0, max_new_tokens=9)


def unequal(n_rows, seed=6):
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 11, (n_rows,), generator=draw).tolist()
    return [torch.randint(PAD + 1, VOCAB, (n,), generator=draw).tolist() for n in lengths]


@pytest.mark.parametrize("case", ["original", "t5", "whisper", "gpt2", "qwen3"])
def test_greedy_ids_are_those_of_transformers(case, tmp_path, monkeypatch):
    cls, config, settings = references.CASES["t5"]
    # Their cache has as many layers as the encoder.
    monkeypatch.setitem(references.CASES, "t5", (cls, config, settings | {"num_decoder_layers": 2}))
    theirs = reference(case)
    theirs.save_pretrained(tmp_path)
    ours, rows = load_model(tmp_path), unequal(6)
    tokens, mask = torch.full((6, 10), PAD), torch.zeros(6, 10, dtype=torch.long)
    for i, ids in enumerate(rows):
        where = slice(0, len(ids)) if case in ("original", "t5") else slice(-len(ids), None)
        tokens[i, where], mask[i, where] = torch.tensor(ids), 1
    if case == "whisper":
        sound = torch.randn(6, 5, 16, generator=torch.Generator().manual_seed(3))
        prompts = Prompts([[PAD]] * 6, sound)
        out = theirs.generate(sound, max_new_tokens=9, do_sample=False, eos_token_id=1)
    else:
        prompts = Prompts(rows) if case in ("gpt2", "qwen3") else Prompts([[PAD]] * 6, tokens, mask)
        out = theirs.generate(tokens, attention_mask=mask, max_new_tokens=9, do_sample=False, eos_token_id=1)
    expected = [ids[: ids.index(1)] if 1 in ids else ids for ids in out[:, -9:].tolist()]
    assert decode(ours, prompts, GREEDY, end_ids=[1]) == expected


def test_rows_of_sound_with_unequal_beginnings_are_written_as_each_alone(writer):
    model = writer("whisper", dim=36, n_mels=5, source_max_len=8)
    sound = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(3))
    prompts = Prompts([[0, 9, 8], [0], [0, 7, 7, 7]], sound)
    for settings in (GREEDY, SamplingSettings(seed=3, max_new_tokens=9, no_repeat_ngram=2)):
        together = decode(model, prompts, settings)
        assert together == [decode(model, prompts.row(i), settings)[0] for i in range(3)]
        assert len({tuple(ids) for ids in together}) == 3


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_recurrent_cells_write_as_uncached_reading_would(cell, writer):
    model, ids = writer("recurrent", cell=cell), [9, 8, 7]
    for _ in range(9):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    assert decode(model, Prompts([[5, 5, 5, 5, 5], [9, 8, 7]]), GREEDY, end_ids=())[1] == ids[3:]


def test_an_end_token_ends_its_row_alone_and_is_not_returned(writer):
    model, prompts = writer(), Prompts([[9, 8], [7, 6, 5]])
    free = decode(model, prompts, GREEDY, end_ids=())
    end = next(id for id in free[0] if id not in free[1])
    assert decode(model, prompts, GREEDY, end_ids=[end]) == [free[0][: free[0].index(end)], free[1]]


def test_a_row_that_is_ended_from_outside_is_written_no_more(writer):
    model, prompts = writer(), Prompts([[9, 8], [7, 6, 5]])
    decoding = Decoding(model, prompts, GREEDY, end_ids=())
    assert [token.row for token in decoding.step()] == [0, 1]
    decoding.rows.end(0)
    while decoding.rows.going:
        assert [token.row for token in decoding.step()] == [1]
    assert decoding.rows.written[1] == decode(model, prompts, GREEDY, end_ids=())[1]


def test_the_readers_first_scores_tell_what_the_first_token_would_be(writer):
    model = writer("whisper", dim=36, n_mels=5, source_max_len=8)
    sound = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(3))
    prompts = Prompts([[0], [0]], sound)
    first = Reader(model, prompts, 0).logits.argmax(-1).tolist()
    assert first == [ids[0] for ids in decode(model, prompts, GREEDY, end_ids=())]


@pytest.mark.parametrize(
    ("ids", "message"),
    [([], "a prompt holds no token"), ([5] * 40, "the prompt is 40 tokens, and the model's context is 40")],
    ids=["empty", "long"],
)
def test_prompts_that_leave_nothing_to_write_are_refused(ids, message, writer):
    with pytest.raises(DataError, match=message):
        decode(writer(), Prompts([[5], ids]), GREEDY)
