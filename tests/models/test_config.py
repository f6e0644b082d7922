import dataclasses

import pytest

from luban.errors import ConfigError
from luban.models.config import HeadConfig, RopeScaling, TransformerConfig
from luban.models.families import FAMILIES


def sizes():
    return [(name, size) for name, family in FAMILIES.items() for size in family.sizes]


@pytest.mark.parametrize(("family", "size"), sizes())
def test_every_named_size_is_a_config(family, size):
    config = FAMILIES[family].config(size, vocab_size=100)
    assert config.family == family
    assert config.vocab_size == 100


def test_configs_cannot_be_changed():
    config = FAMILIES["llama"].config("tiny", vocab_size=100)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.vocab_size = 5


def test_a_wider_model_keeps_the_proportions_of_its_size():
    trunk = FAMILIES["llama"].config("tiny", vocab_size=9, dim=512, n_heads=8).trunk
    assert (trunk.ffn_dim, trunk.n_kv_heads, trunk.head_dim) == (1408, 4, 64)
    assert FAMILIES["llama"].config("tiny", vocab_size=9, dim=512, ffn_dim=100).trunk.ffn_dim == 100


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("gpt2", {"dim": 30, "n_heads": 4}, "model.dim = 30 does not split into model.n_heads = 4 heads\n  fix: set model.dim to a multiple of 4, such as 32"),
        ("llama", {"n_heads": 4, "n_kv_heads": 3}, "model.n_heads = 4 does not share model.n_kv_heads = 3 evenly\n  fix: set model.n_kv_heads to one of: 1, 2, 4"),
        ("llama", {"dim": 12, "n_heads": 4}, "model.head_dim = 3 is odd"),
        ("bert", {"dropout": 1.0}, "model.dropout = 1.0 is no share below 1"),
        ("recurrent", {"n_layers": 0}, "model.n_layers = 0 is no count"),
        ("recurrent", {"dim": 9, "sight": "full"}, "model.dim = 9 is odd, and two directions share it\n  fix: set model.dim to 10"),
        ("recurrent", {"n_heads": 2}, "unknown setting model.n_heads = 2"),
    ],
)  # fmt: skip
def test_an_impossible_config_is_refused_with_the_way_out(family, changes, message):
    with pytest.raises(ConfigError) as error:
        FAMILIES[family].config("tiny", vocab_size=100, **changes)
    assert message in str(error.value)


def test_an_unknown_size_names_the_nearest():
    with pytest.raises(ConfigError, match="'smal' is no size of gpt2\n  fix: did you mean small?"):
        FAMILIES["gpt2"].config("smal", vocab_size=100)


def test_labels_and_classes_agree():
    with pytest.raises(ConfigError, match="head.n_classes = 3, but head.labels names 2"):
        HeadConfig(kind="classes", n_classes=3, labels=("a", "b"))
    with pytest.raises(ConfigError, match="repeats a name"):
        HeadConfig(kind="classes", n_classes=2, labels=("a", "a"))


def test_a_classifying_lstm_reads_both_ways_and_a_writing_one_does_not():
    labels = HeadConfig(kind="classes", n_classes=2, labels=("a", "b"))
    assert FAMILIES["recurrent"].config("tiny", vocab_size=9, head=labels).trunk.sight == "full"
    assert FAMILIES["recurrent"].config("tiny", vocab_size=9).trunk.sight == "causal"


def test_llamas_choices_are_the_defaults():
    trunk = FAMILIES["llama"].config("tiny", vocab_size=9).trunk
    assert trunk == TransformerConfig(dim=256, n_layers=4, n_heads=4, n_kv_heads=2, head_dim=64, ffn_dim=704)


def test_a_stretch_that_needs_more_than_one_pair_says_so():
    scaling = RopeScaling(kind="dynamic", factor=2.0, original_max_len=8)
    with pytest.raises(ConfigError, match="'dynamic' stretches nothing where one pair"):
        FAMILIES["llama"].config("tiny", vocab_size=9, dim=8, n_heads=4, rope_scaling=scaling)
