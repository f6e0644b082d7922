import pytest
import torch
from torch.testing import assert_close

from luban.errors import DataError
from luban.models.cache import Cache
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.positions import lay_out
from luban.models.rotary import rotate, rotation
from tests.models.conftest import CLASSES, VOCAB, ask

DECODERS = ("gpt2", "llama", "qwen2", "qwen3", "recurrent")
# Three documents in a row of eleven, then padding.
PACKED = torch.tensor([[1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 0, 0]])
SPANS = (slice(0, 4), slice(4, 6), slice(6, 11))


@pytest.mark.parametrize("family", FAMILIES)
def test_documents_packed_in_a_row_read_as_they_do_alone(family, tiny, tokens):
    model, row = tiny(family), tokens(1, 13)
    together = ask(model, row, PACKED)
    for span in SPANS:
        assert_close(together[:, span], ask(model, row[:, span]), rtol=1e-5, atol=1e-5)


def test_a_recurrent_encoder_keeps_documents_apart_in_both_directions(tiny, tokens):
    model, row = tiny("recurrent", sight="full"), tokens(1, 13)
    together = model(row, PACKED)
    for span in SPANS:
        assert_close(together[:, span], model(row[:, span]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_changing_another_document_never_changes_mine(family, tiny, tokens):
    model, row = tiny(family), tokens(1, 13)
    changed = row.clone()
    changed[:, 4:6] = (changed[:, 4:6] + 1) % VOCAB
    before, after = ask(model, row, PACKED), ask(model, changed, PACKED)
    assert torch.equal(before[:, :4], after[:, :4])
    assert torch.equal(before[:, 6:11], after[:, 6:11])
    assert not torch.equal(before[:, 4:6], after[:, 4:6])


POSITIONS = ("learned", "sinusoidal", "rotary", "relative", "alibi", "none")


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("sight", ["causal", "full"])
def test_any_position_goes_with_packing_and_caching(position, sight, tiny, tokens):
    model, row = tiny("llama", position=position, sight=sight), tokens(1, 13)
    together = model(row, PACKED)
    for span in SPANS:
        assert_close(together[:, span], model(row[:, span]), rtol=1e-5, atol=1e-5)
    if sight == "causal":
        cache = Cache(model.config, 1, 13)
        steps = [model(row[:, i : i + 2], cache=cache) for i in range(0, 12, 2)]
        assert_close(torch.cat(steps, 1), model(row[:, :12]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("position", [p for p in POSITIONS if p != "none"])
def test_any_position_tells_places_apart(position, tiny):
    model = tiny("llama", position=position, sight="full")
    said = model(torch.tensor([[5, 6, 6, 6, 6, 7]]))[0]
    assert not torch.isclose(said[1], said[2], atol=1e-3).all()
    assert not torch.isclose(said[2], said[4], atol=1e-3).all()


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh"])
@pytest.mark.parametrize("mlp", ["plain", "gated"])
def test_any_activation_goes_with_and_without_a_gate(activation, mlp, tiny, tokens):
    import torch.nn.functional as F

    layer = tiny("llama", activation=activation, mlp=mlp).trunk.blocks[0].mlp
    x = torch.randn(2, 3, 32)
    names = {
        "gelu_tanh": lambda v: F.gelu(v, approximate="tanh"),
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
    }
    turn = names.get(activation) or getattr(F, activation)
    inside = turn(layer.up(x)) if mlp == "plain" else turn(layer.gate(x)) * layer.up(x)
    assert_close(layer(x), layer.down(inside))


def test_only_turning_a_part_of_each_head_leaves_the_rest(tiny, tokens):
    whole, part = (tiny("llama", rotary_dim=d) for d in (None, 4))
    q = torch.randn(1, 4, 5, 8)
    turn = rotation(torch.arange(5)[None], part.config.trunk, torch.float32)
    assert torch.equal(rotate(q, turn)[..., 4:], q[..., 4:])
    assert not torch.equal(whole(tokens(1, 5)), part(tokens(1, 5)))


def test_alibi_falls_with_distance_at_the_published_rates():
    from luban.models.positions import alibi

    layout = lay_out(torch.zeros(1, 4, dtype=torch.long), None, None, 0)
    bias = alibi(layout, 4, 8, torch.zeros(1))
    assert_close(bias[0, :, 3, 0], torch.tensor([-3 * 2.0**-k for k in range(1, 9)]))
    six = alibi(layout, 4, 6, torch.zeros(1))[0, :, 1, 0]
    assert_close(six, -torch.tensor([2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]))


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
    padded = ask(model, rows, documents)
    assert padded.isfinite().all()
    assert_close(padded[1:2, text], ask(model, rows[1:2, text]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", ["first", "mean", "last"])
@pytest.mark.parametrize("family", FAMILIES)
def test_padding_does_not_change_the_classes(family, pool, tiny, tokens):
    head = HeadConfig(kind="classes", n_classes=3, labels=CLASSES.labels, pool=pool)
    model, rows = tiny(family, head=head), tokens(2, 12)
    documents = torch.ones_like(rows)
    documents[1, 8:] = 0
    assert_close(ask(model, rows, documents)[1:], ask(model, rows[1:, :8]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_rows_give_the_same_numbers_with_and_without_documents(family, tiny, tokens):
    model, rows = tiny(family), tokens(2, 9)
    assert_close(ask(model, rows), ask(model, rows, torch.full_like(rows, 4)))


@pytest.mark.parametrize("family", ["t5", "original", "whisper"])
def test_a_decoder_never_sees_ahead_and_reads_all_of_its_source(family, tiny, tokens):
    model, rows = tiny(family), tokens(2, 9)
    source = torch.randn(2, 8, 12) if family == "whisper" else tokens(2, 7).flip(1)
    ahead, other = rows.clone(), source.clone()
    ahead[:, 5] = (ahead[:, 5] + 1) % VOCAB
    other[..., -1] = (other[..., -1] + 1) % VOCAB
    before = model(rows, source=source)
    assert torch.equal(before[:, :5], model(ahead, source=source)[:, :5])
    assert (before != model(rows, source=other)).any(-1).all()


def test_padding_of_a_source_is_not_read(tiny, tokens):
    model, rows, source = tiny("t5"), tokens(1, 5), tokens(1, 7)
    padded = torch.cat([source, (source + 1) % VOCAB], 1)
    documents = torch.tensor([[1] * 7 + [0] * 7])
    assert_close(model(rows, source=padded, source_documents=documents), model(rows, source=source))


def test_a_missing_source_is_asked_for(tiny, tokens):
    with pytest.raises(DataError, match="this t5 model reads a source, and none is given"):
        tiny("t5")(tokens(1, 4))
    with pytest.raises(DataError, match="this gpt2 model reads no source"):
        tiny("gpt2")(tokens(1, 4), source=tokens(1, 4))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_step_reaches_every_parameter(family, tiny, tokens):
    model, row = tiny(family).train(), tokens(1, 13)
    ask(model, row, PACKED).logsumexp(-1).sum().backward()
    unreached = [
        n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    # Keys add the same to every score of a softmax, whatever their bias.
    assert [n for n in unreached if not n.endswith((".k.bias", "pooler.weight", "pooler.bias"))] == []


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "word2vec"])
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


@pytest.mark.parametrize("family", ["t5", "original"])
def test_a_source_is_checked_like_any_row(family, tiny, tokens):
    model, row = tiny(family, max_len=8), tokens(1, 5)
    with pytest.raises(DataError, match="token id 64 is outside the model's vocabulary, 0 to 63"):
        model(row, source=torch.full((1, 3), 64))
    with pytest.raises(DataError, match="a row of 9 tokens is longer than the model's max_len = 8"):
        model(row, source=tokens(1, 9))


def test_a_sound_that_does_not_fit_says_what_would(tiny, tokens):
    model, row = tiny("whisper"), tokens(1, 5)
    with pytest.raises(DataError, match=r"of 42 frames is longer than the model's 40\n  fix: cut the sound"):
        model(row, source=torch.zeros(1, 8, 42))
    with pytest.raises(DataError, match=r"\(1, 9, 20\) is not \(B, 8 mel bands, frames\)"):
        model(row, source=torch.zeros(1, 9, 20))


@pytest.mark.parametrize(
    ("family", "inputs", "message"),
    [
        ("gpt2", {"tokens": torch.tensor([1, 2])}, r"tokens of the shape \(2,\) .* are no rows of ids"),
        ("gpt2", {"tokens": torch.rand(1, 3)}, r"the type torch\.float32 are no rows of ids"),
        ("bert", {"tokens": torch.tensor([[1, 2]]), "segments": torch.tensor([[0, 7]])}, "segment 7 is not among the model's 2"),
        ("t5", {"tokens": torch.tensor([[1, 2]]), "source": torch.ones(2, 3, dtype=torch.long)}, "1 rows of tokens read 2 sources"),
        ("t5", {"tokens": torch.tensor([[1]]), "source": torch.tensor([[4, 5]]), "source_documents": torch.tensor([[1]])}, r"source_documents \(1, 1\) do not match the source \(1, 2\)"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit_are_refused_by_name(family, inputs, message, tiny):
    with pytest.raises(DataError, match=message):
        tiny(family)(**inputs)


def test_a_cache_for_other_rows_is_refused(tiny, tokens):
    model = tiny("gpt2")
    with pytest.raises(DataError, match="1 rows of tokens do not go on from a cache of 2"):
        model(tokens(1, 3), cache=Cache(model.config, 2, 8))
