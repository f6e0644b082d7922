"""The family without layers, against torch's own parts."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.load import load_model, save_model

TWO = HeadConfig(kind="classes", n_classes=2, labels=("a", "b"), pool="mean")
TOKENS = torch.tensor([[3, 1, 4, 1], [5, 9, 0, 0]])
DOCUMENTS = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


def test_a_classifier_is_the_mean_of_its_words_through_one_matrix() -> None:
    model = build_model(FAMILIES["word2vec"].config("tiny", vocab_size=12, head=TWO)).eval()
    bag = nn.EmbeddingBag.from_pretrained(model.stem.tokens.weight, mode="mean")
    means = bag(torch.tensor([3, 1, 4, 1, 5, 9]), torch.tensor([0, 4]))
    expected = means @ model.head.classes.weight.T + model.head.classes.bias
    torch.testing.assert_close(model(TOKENS, DOCUMENTS), expected)


def test_word_and_context_vectors_are_two_tables() -> None:
    model = build_model(FAMILIES["word2vec"].config("tiny", vocab_size=12))
    assert {n: tuple(p.shape) for n, p in model.named_parameters()} == {
        "stem.tokens.weight": (12, 64),
        "head.weight": (12, 64),
    }
    expected = model.stem.tokens.weight[TOKENS] @ model.head.weight.T
    torch.testing.assert_close(model(TOKENS), expected)


def test_a_folder_of_vectors_opens_as_a_classifier(tmp_path: Path) -> None:
    model = build_model(FAMILIES["word2vec"].config("tiny", vocab_size=12))
    save_model(model, tmp_path)
    again = load_model(tmp_path, head=TWO)
    assert torch.equal(again.stem.tokens.weight, model.stem.tokens.weight)
    assert again(TOKENS, DOCUMENTS).shape == (2, 2)
    assert again.load_report is not None
    assert again.load_report.dropped == ("head.weight",)
