import pytest
import torch
from torch.testing import assert_close

from luban.errors import DataError
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from tests.models.conftest import CLASSES, VOCAB

DECODERS = ("gpt2", "llama", "lstm")
# Three documents in a row of eleven, then padding.
PACKED = torch.tensor([[1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 0, 0]])
SPANS = (slice(0, 4), slice(4, 6), slice(6, 11))


@pytest.mark.parametrize("family", FAMILIES)
def test_documents_packed_in_a_row_read_as_they_do_alone(family, tiny, tokens):
    model, row = tiny(family), tokens(1, 13)
    together = model(row, PACKED)
    for span in SPANS:
        assert_close(together[:, span], model(row[:, span]), rtol=1e-5, atol=1e-5)


def test_a_recurrent_encoder_keeps_documents_apart_in_both_directions(tiny, tokens):
    model, row = tiny("lstm", sight="full"), tokens(1, 13)
    together = model(row, PACKED)
    for span in SPANS:
        assert_close(together[:, span], model(row[:, span]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_changing_another_document_never_changes_mine(family, tiny, tokens):
    model, row = tiny(family), tokens(1, 13)
    changed = row.clone()
    changed[:, 4:6] = (changed[:, 4:6] + 1) % VOCAB
    before, after = model(row, PACKED), model(changed, PACKED)
    assert torch.equal(before[:, :4], after[:, :4])
    assert torch.equal(before[:, 6:11], after[:, 6:11])
    assert not torch.equal(before[:, 4:6], after[:, 4:6])


@pytest.mark.parametrize("family", DECODERS)
def test_changing_a_future_token_never_changes_the_past(family, tiny, tokens):
    model, rows = tiny(family), tokens(2, 9)
    changed = rows.clone()
    changed[:, 5] = (changed[:, 5] + 1) % VOCAB
    before, after = model(rows), model(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any(-1).all()


def test_an_encoder_sees_what_comes_after(tiny, tokens):
    model, rows = tiny("bert"), tokens(2, 9)
    changed = rows.clone()
    changed[:, 8] = (changed[:, 8] + 1) % VOCAB
    assert (model(rows) != model(changed)).any(-1).all()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing_and_makes_no_nan(family, side, tiny, tokens):
    model, rows = tiny(family), tokens(3, 12)
    documents = torch.ones_like(rows)
    text = slice(4, 12) if side == "left" else slice(0, 8)
    documents[1:] = 0
    documents[1, text] = 1  # row 2 is nothing but padding
    padded = model(rows, documents)
    assert padded.isfinite().all()
    assert_close(padded[1:2, text], model(rows[1:2, text]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", ["first", "mean", "last"])
@pytest.mark.parametrize("family", FAMILIES)
def test_padding_does_not_change_the_classes(family, pool, tiny, tokens):
    head = HeadConfig(kind="classes", n_classes=3, labels=CLASSES.labels, pool=pool)
    model, rows = tiny(family, head=head), tokens(2, 12)
    documents = torch.ones_like(rows)
    documents[1, 8:] = 0
    assert_close(model(rows, documents)[1:], model(rows[1:, :8]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_rows_give_the_same_numbers_with_and_without_documents(family, tiny, tokens):
    model, rows = tiny(family), tokens(2, 9)
    assert_close(model(rows), model(rows, torch.full_like(rows, 4)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_step_reaches_every_parameter(family, tiny, tokens):
    model, row = tiny(family).train(), tokens(1, 13)
    model(row, PACKED).logsumexp(-1).sum().backward()
    unreached = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # Keys add the same to every score of a softmax, whatever their bias.
    assert [n for n in unreached if not n.endswith("attention.k.bias")] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tied_head_is_the_embedding_itself(family, tiny):
    model = tiny(family)
    assert model.head.weight is model.stem.tokens.weight
    assert "head.weight" not in dict(model.named_parameters())


def test_an_untied_head_has_a_matrix_of_its_own(tiny):
    model = tiny("llama", head=HeadConfig(tied=False))
    assert model.head.weight is not model.stem.tokens.weight
    assert model.head.weight.shape == (VOCAB, 32)


@pytest.mark.parametrize("wrong", [-1, VOCAB])
def test_a_token_outside_the_vocabulary_is_named(wrong, tiny, tokens):
    rows = tokens(1, 4)
    rows[0, 2] = wrong
    with pytest.raises(DataError, match=f"token id {wrong} is outside the model's vocabulary, 0 to 63"):
        tiny("gpt2")(rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_longer_than_max_len_names_both(family, tiny, tokens):
    with pytest.raises(DataError, match="a row of 11 tokens is longer than the model's max_len = 10"):
        tiny(family, max_len=10)(tokens(1, 11))


def test_rows_without_a_token_are_refused(tiny, tokens):
    with pytest.raises(DataError, match=r"tokens of the shape \(2, 0\) hold nothing to read"):
        tiny("llama")(tokens(2, 0))


def test_a_headless_model_returns_hidden_states(tiny, tokens):
    model, rows = tiny("bert", head=HeadConfig(kind="none")), tokens(2, 5)
    assert torch.equal(model(rows), model.hidden(rows))
