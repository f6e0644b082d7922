"""Freezing goes by name, and a name that fits nothing is an error with a way out."""

import pytest
from torch import nn

from luban.errors import ConfigError
from luban.tune.freeze import freeze, lr_scale


class Tiny(nn.Module):
    """The parameter names of a model with two blocks."""

    def __init__(self):
        super().__init__()
        self.stem = nn.ModuleDict({"tokens": nn.Embedding(5, 4)})
        block = lambda: nn.ModuleDict({"mlp": nn.Linear(4, 4)})  # noqa: E731
        self.trunk = nn.ModuleDict({"blocks": nn.ModuleList([block(), block()]), "norm": nn.LayerNorm(4)})
        self.head = nn.Linear(4, 2)


def learning(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_only_what_matches_stops_learning():
    model = Tiny()
    before = learning(model)
    assert freeze(model, ["stem.*", "trunk.blocks.0.*"]) == 20 + 20
    gone = before - learning(model)
    assert gone == {"stem.tokens.weight", "trunk.blocks.0.mlp.weight", "trunk.blocks.0.mlp.bias"}


def test_patterns_that_overlap_are_counted_once():
    assert freeze(Tiny(), ["stem.*", "stem.tokens.*"]) == 20


@pytest.mark.parametrize(
    ("pattern", "fix"),
    [
        ("trunk.block.0.*", "did you mean trunk.blocks.0"),
        ("stem", "did you mean 'stem.*'?"),
        ("encoder.layer.3.*", "use names such as head.*, "),
    ],
)
def test_a_pattern_that_matches_nothing_names_near_ones(pattern, fix):
    model = Tiny()
    with pytest.raises(ConfigError, match="matches no parameter") as caught:
        freeze(model, ["head.*", pattern])
    assert fix in caught.value.fix
    assert learning(model) == {name for name, _ in model.named_parameters()}, "nothing is frozen by halves"


def test_freezing_everything_is_refused():
    with pytest.raises(ConfigError, match="leaves nothing to train"):
        freeze(Tiny(), ["*"])


def test_each_layer_learns_slower_than_the_one_above_it():
    scale = lr_scale(Tiny(), head_lr_scale=10.0, layer_lr_decay=0.5)
    assert scale("head.weight") == 10.0
    assert scale("trunk.norm.weight") == 1.0
    assert scale("trunk.blocks.1.mlp.weight") == 1.0
    assert scale("trunk.blocks.0.mlp.weight") == 0.5
    assert scale("stem.tokens.weight") == 0.25


def test_a_model_without_blocks_has_no_depth_to_decay_over():
    scale = lr_scale(nn.ModuleDict({"stem": nn.Linear(2, 2)}), 1.0, 0.5)
    assert scale("stem.weight") == 1.0
