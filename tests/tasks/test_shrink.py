"""A small model of the same kind."""

import pytest
import torch

from luban.models.build import build_model
from luban.models.config import HeadConfig, ModelConfig, TransformerConfig
from luban.models.families import FAMILIES
from luban.tasks.shrink import HEAD_DIM, N_LAYERS, original_name, shrunk_builder, shrunk_config
from luban.tune.lora import adapted, attach
from luban.tune.settings import LoraSettings

KEPT = (
    "sight", "position", "norm", "norm_place", "activation", "mlp", "mlp_bias", "qk_norm", "attention_bias",
    "dropout", "attention_dropout", "rope_theta", "rope_scaling", "init", "reads_source",
)  # fmt: skip


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("dropout", [True, False])
def test_every_size_of_every_family_shrinks_and_computes(family: str, dropout: bool) -> None:
    for size in FAMILIES[family].sizes:
        config = FAMILIES[family].config(size, vocab_size=50)
        small = shrunk_config(config, dropout=dropout)
        assert (small.vocab_size, small.max_len, small.head) == (50, config.max_len, config.head)
        assert small.trunk.dim <= max(config.trunk.dim, 4)
        assert small.n_layers <= N_LAYERS
        if not isinstance(small.trunk, TransformerConfig) or not isinstance(config.trunk, TransformerConfig):
            continue
        assert small.trunk.head_dim <= HEAD_DIM
        assert (
            small.trunk.n_heads // small.trunk.n_kv_heads == config.trunk.n_heads // config.trunk.n_kv_heads
        )
        for name in KEPT:
            if dropout or "dropout" not in name:
                assert getattr(small.trunk, name) == getattr(config.trunk, name), name
        if small.source == "tokens":
            tokens = torch.tensor([[5, 6, 7]])
            more = {"source": tokens} if small.encoder else {}
            model = build_model(small)
            with torch.no_grad():
                assert torch.isfinite(model.eval()(tokens, **more)).all()


def test_what_is_small_already_stays() -> None:
    config = FAMILIES["llama"].config(
        "tiny", vocab_size=50, dim=16, n_layers=1, n_heads=2, n_kv_heads=1, ffn_dim=24
    )
    assert shrunk_config(config) == config


def test_dropout_is_kept_or_left_out() -> None:
    config = FAMILIES["bert"].config("tiny", vocab_size=50, dropout=0.3)
    assert shrunk_config(config).trunk.dropout == 0.3
    assert shrunk_config(config, dropout=False).trunk.dropout == 0


def deep() -> ModelConfig:
    head = HeadConfig(kind="classes", n_classes=2, labels=("a", "b"))
    return FAMILIES["bert"].config(
        "tiny", vocab_size=50, dim=48, n_layers=6, n_heads=6, ffn_dim=96, max_len=20, head=head
    )


def test_small_layers_stand_for_the_last_ones() -> None:
    name = original_name(deep())
    assert name("trunk.blocks.1.mlp.up.weight") == "trunk.blocks.5.mlp.up.weight"
    assert name("head.classes.weight") == "head.classes.weight"


def test_what_is_frozen_there_is_frozen_here() -> None:
    model = build_model(deep())
    for name, p in model.named_parameters():
        p.requires_grad_(not name.startswith(("stem.", *(f"trunk.blocks.{i}." for i in range(5)))))
    small = shrunk_builder(model, 1)(True)
    learns = {n.split(".")[2] for n, p in small.named_parameters() if p.requires_grad and "blocks" in n}
    assert learns == {"1"}
    assert not small.stem.tokens.weight.requires_grad


def test_layers_with_adapters_have_adapters_and_the_same_weights_each_time() -> None:
    model = build_model(deep())
    attach(model, LoraSettings(rank=8, alpha=16.0, dropout=0.1, targets=("*blocks.5.*.q", "*blocks.1.*.v")))
    build = shrunk_builder(model, 1)
    small = build(True)
    assert list(adapted(small)) == ["trunk.blocks.1.attention.q"]
    layer = adapted(small)["trunk.blocks.1.attention.q"]
    assert (layer.rank, layer.scale, layer.dropout) == (4, 2.0, 0.1)
    assert [n for n, p in small.named_parameters() if p.requires_grad] == [
        "trunk.blocks.1.attention.q.lora_a",
        "trunk.blocks.1.attention.q.lora_b",
    ]
    again = build(True).state_dict()
    assert all(torch.equal(t, again[n]) for n, t in small.state_dict().items())
