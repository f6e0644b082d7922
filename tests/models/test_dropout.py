import pytest
import torch
from torch.testing import assert_close

from luban.models import attention
from luban.models.attention import SelfAttention
from luban.models.dropout import Dropout, dropout
from luban.models.families import FAMILIES


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_is_zeroed_and_the_rest_is_scaled_so_that_the_mean_stays(share):
    torch.manual_seed(1)
    y = dropout(torch.ones(200_001), share)
    assert (y == 0).float().mean().item() == pytest.approx(share, abs=0.005)
    assert y.mean().item() == pytest.approx(1, abs=0.03)
    assert y.unique().tolist() == pytest.approx([0, 1 / (1 - share)], rel=1e-3)


def test_the_gradient_passes_where_the_value_did():
    torch.manual_seed(1)
    x = torch.ones(5, 7, requires_grad=True)
    y = dropout(x, 0.3)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_the_same_seed_drops_the_same_places_and_another_seed_others():
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(torch.ones(999), 0.5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_neighbours_are_dropped_independently():
    torch.manual_seed(1)
    kept = (dropout(torch.ones(100_000), 0.5) > 0).float() - 0.5
    for shift in (1, 2, 3, 4, 5):
        assert abs((kept[:-shift] * kept[shift:]).mean().item()) < 0.003


def test_nothing_is_dropped_outside_training():
    layer, x = Dropout(0.5), torch.ones(9)
    assert torch.equal(layer.eval()(x), x)
    assert not torch.equal(layer.train()(x), x)


@pytest.mark.parametrize("family", ["gpt2", "bert", "llama", "t5"])
@pytest.mark.parametrize("packed", [True, False])
def test_attention_with_dropout_is_attention_once_nothing_is_dropped(family, packed, tiny, monkeypatch):
    monkeypatch.setattr(attention, "dropout", lambda x, share: x)
    model = tiny(family)
    assert "share=" in repr(model) or family == "llama"
    layers = [m for m in model.modules() if isinstance(m, SelfAttention)]
    tokens = torch.randint(2, 60, (2, 9))
    documents = torch.tensor([[1, 1, 1, 1, 2, 2, 3, 3, 0], [1] * 9]) if packed else None
    source = {"source": tokens} if FAMILIES[family].name == "t5" else {}
    without = model.train()(tokens, documents, **source)
    for layer in layers:
        layer.dropout = 0.5
    assert_close(model(tokens, documents, **source), without)
