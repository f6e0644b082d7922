"""Rows follow their tokens from one tokenizer to the next."""

import json

import pytest
import tokenizers
import torch

from luban.errors import DataError
from luban.models.config import HeadConfig
from luban.tokenizer import Tokenizer
from luban.tokenizer.train import train_bpe
from luban.tune.surgery import extend_vocabulary
from tests.models.conftest import ask
from tests.tune.surgery.conftest import same_after_saving

ENGLISH = ["the old cat sat on the mat", "the red dog sat on the hat", "a cat and a dog"] * 4
CHINESE = ["小猫在看书", "小狗在看书", "小鸟在看小猫"] * 6


@pytest.fixture(scope="module")
def old():
    return train_bpe(ENGLISH, 290, template=False)


@pytest.fixture(scope="module")
def new(old):
    return train_bpe(ENGLISH + CHINESE, 330, template=False)


def resized(tiny, family, tokenizer, **changes):
    from luban.models.changes import resize_vocabulary

    model = resize_vocabulary(tiny(family, **changes), tokenizer.vocab_size, new_rows="fresh")
    with torch.no_grad():
        model.stem.tokens.weight.normal_(generator=torch.Generator().manual_seed(1))
    return model


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert", "t5", "whisper", "word2vec", "recurrent"])
def test_a_token_that_both_know_keeps_its_rows_and_a_new_one_has_the_mean_of_its_pieces(
    family, tiny, old, new, tmp_path
):
    model = resized(tiny, family, old, pad_id=old.pad_id, eos_id=old.eos_id)
    tables = {"stem.tokens.weight": model.stem.tokens.weight}
    if family == "word2vec":
        tables["head.weight"] = model.head.weight
    if getattr(model.head, "bias", None) is not None:
        tables["head.bias"] = model.head.bias
    before = {n: t.detach().clone() for n, t in tables.items()}
    trunk = {n: p.clone() for n, p in model.trunk.state_dict().items()}
    assert extend_vocabulary(model, old, new) is model
    assert all(torch.equal(p, trunk[n]) for n, p in model.trunk.state_dict().items())
    n_new = 0
    for name, table in before.items():
        after = dict(model.named_parameters())[name]
        assert len(after) == new.vocab_size == model.config.vocab_size
        for i in range(new.vocab_size):
            same = old.token_id(new.token(i))
            if same is not None:
                assert torch.equal(after[i], table[same])
            else:
                n_new += 1
                pieces = [old.token_id(c) for c in new.token(i)]  # each a byte, for none is merged there
                assert len(pieces) > 1
                if "\N{REPLACEMENT CHARACTER}" in new.decode([i]) or not new.decode([i]).isascii():
                    torch.testing.assert_close(after[i], table[pieces].mean(0))
    assert n_new > 10
    assert (model.config.pad_id, model.config.eos_id) == (new.pad_id, new.eos_id)
    same_after_saving(model, tmp_path, torch.tensor([new.encode("the cat 小猫")]))


def test_a_text_of_tokens_that_both_know_scores_as_before(tiny, old):
    grown = with_tokens(old, ["<|tool|>"])
    model = resized(tiny, "llama", old, head=HeadConfig(tied=False))
    text = torch.tensor([old.encode("the old cat")])
    before = ask(model, text)
    extend_vocabulary(model, old, grown)
    assert torch.equal(ask(model, text)[..., : old.vocab_size], before)
    mean = model.stem.tokens.weight[: old.vocab_size].mean(0)
    torch.testing.assert_close(model.stem.tokens.weight[grown.token_id("<|tool|>")], mean)


def with_tokens(tokenizer, special):
    backend = tokenizers.Tokenizer.from_str(tokenizer._backend.to_str())
    backend.add_special_tokens(special)
    return Tokenizer(backend, json.loads(json.dumps(tokenizer._config)))


def test_a_tokenizer_that_is_not_the_models_is_refused(tiny, old, new):
    with pytest.raises(DataError, match=f"the old tokenizer has {old.vocab_size} tokens, and the model 64"):
        extend_vocabulary(tiny("gpt2"), old, new)
