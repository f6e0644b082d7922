"""Which objective goes with which model, and the ids it takes."""

from __future__ import annotations

import pytest
import tokenizers
from tokenizers import models

from luban.errors import CheckpointError, ConfigError
from luban.models.config import HeadConfig, ModelConfig, NoTrunkConfig, RecurrentConfig, TransformerConfig
from luban.tasks.infill import with_marks
from luban.tasks.pretrain_objective import choose_objective, corruption, n_marks
from luban.tasks.settings import CorruptionSettings, PretrainSettings
from luban.tokenizer import Tokenizer
from tests.objectives.toys import generator, rows

FIELDS = {"dim": 8, "n_layers": 1, "n_heads": 1, "n_kv_heads": 1, "head_dim": 8, "ffn_dim": 8}
FULL, CAUSAL = TransformerConfig(**FIELDS, sight="full"), TransformerConfig(**FIELDS)
READER = TransformerConfig(**FIELDS, reads_source=True)
SETTINGS = PretrainSettings(context=20, corruption=CorruptionSettings(n_sentinels=6))


def config(trunk=CAUSAL, **fields) -> ModelConfig:
    return ModelConfig(**{"family": "toy", "vocab_size": 20, "max_len": 32, "trunk": trunk} | fields)


def tokenizer(*more: str, mask: str | None = "<mask>") -> Tokenizer:
    names = ["<pad>", "<end>", "<mask>", *"abcdefg", *more]
    backend = tokenizers.Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, "<pad>"))
    backend.add_special_tokens(["<pad>", "<end>", "<mask>"])
    return Tokenizer(backend, {"pad_token": "<pad>", "eos_token": "<end>", "mask_token": mask})


@pytest.mark.parametrize(
    ("made", "objective"),
    [
        (config(), "next_token"),
        (config(RecurrentConfig(dim=8, n_layers=1)), "next_token"),
        (config(FULL), "masked"),
        (config(RecurrentConfig(dim=8, n_layers=1, sight="full")), "masked"),
        (config(READER, encoder=FULL), "span_corruption"),
    ],
)
def test_a_model_has_a_habit(made: ModelConfig, objective: str) -> None:
    assert choose_objective("auto", made) == objective
    assert choose_objective(objective, made) == objective


@pytest.mark.parametrize(
    ("wanted", "made", "message"),
    [
        ("masked", config(), "sees the past alone, and cannot learn by masked"),
        ("next_token", config(FULL), "sees the tokens it would predict"),
        ("next_token", config(READER, encoder=FULL), "reads a source and writes a target"),
        ("auto", config(READER, encoder=FULL, source="audio"), "reads audio, and cannot"),
        ("auto", config(NoTrunkConfig(dim=8)), "reads each word alone"),
        ("auto", config(head=HeadConfig(kind="none")), "predicts no tokens"),
    ],
)
def test_what_a_model_cannot_learn_is_refused(wanted: str, made: ModelConfig, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        choose_objective(wanted, made)


def test_marks_are_the_tokenizers_own_or_the_last_ids_of_the_vocabulary() -> None:
    plain, own = tokenizer(), tokenizer(*(f"<extra_id_{i}>" for i in (2, 1, 0)))
    assert n_marks("span_corruption", plain, SETTINGS.corruption) == 6
    assert n_marks("span_corruption", own, SETTINGS.corruption) == 0
    assert n_marks("next_token", plain, SETTINGS.corruption) == 0
    made = config(READER, encoder=FULL, start_id=0, vocab_size=16)
    batch = rows([[3, 4, 5, 6, 7, 8, 9, 1]])
    for used, first in ((plain, 15), (own, 12)):
        corrupt = corruption("span_corruption", made, used, 1, SETTINGS)
        assert corrupt(batch, None).targets[0, 0] == first


def test_infill_marks_are_the_tokenizers_own_or_are_added_to_it() -> None:
    own = tokenizer("<|fim_middle|>", "<|fim_prefix|>", "<|fim_suffix|>")
    always = PretrainSettings(corruption=CorruptionSettings(infill_share=1.0))
    batch = rows([[3, 4, 5, 6, 7, 8, 9, 1]])
    for used, first in ((with_marks(tokenizer()), 10), (own, 11)):
        assert with_marks(used) is used
        corrupt = corruption("fill_in_the_middle", config(), used, 1, always)
        assert corrupt(batch, generator()).tokens[0, 0] == first


def test_infilling_without_marks_is_an_error_that_says_how_to_get_them() -> None:
    with pytest.raises(CheckpointError, match="no marks for infilling"):
        corruption("fill_in_the_middle", config(), tokenizer(), 1, SETTINGS)


def test_masking_never_hides_special_tokens_and_uses_the_tokenizers_mask() -> None:
    corrupt = corruption("masked", config(FULL), tokenizer(), 1, PretrainSettings())
    batch, shared = rows([[3, 4, 5, 6, 7, 8, 9, 1]]), generator()
    made = [corrupt(batch, shared) for _ in range(60)]
    assert sum(int((batch.tokens == 2).sum()) for batch in made) > 20
    assert {int(t) for batch in made for t in batch.targets.unique()} == {-100, *range(3, 10)}


def test_a_tokenizer_without_a_mask_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="the tokenizer has no mask token"):
        corruption("masked", config(FULL), tokenizer(mask=None), 1, SETTINGS)


def test_a_vocabulary_without_room_for_the_marks_is_an_error() -> None:
    made = config(READER, encoder=FULL, start_id=0, vocab_size=14)
    with pytest.raises(
        ConfigError, match="span_corruption needs 2 more ids than the model's vocabulary of 14"
    ):
        corruption("span_corruption", made, tokenizer(), 1, SETTINGS)


def test_a_model_without_a_start_token_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="names no token to begin a target with"):
        corruption("span_corruption", config(READER, encoder=FULL), tokenizer(), 1, SETTINGS)
