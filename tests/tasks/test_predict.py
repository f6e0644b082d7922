"""One classifier for every folder; the answer to a text does not depend on its neighbours."""

import pytest

from luban.errors import CheckpointError
from luban.files import write_json
from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.load import save_model
from luban.tasks.predict import load_classifier
from luban.tasks.sequences import cut
from luban.tokenizer import load_tokenizer
from luban.tokenizer.train import train_bpe

LABELS = ("消极", "积极")


@pytest.fixture
def folder(tmp_path):
    tokenizer = train_bpe(["a fine film", "好看的电影"], 300, template=True)
    head = HeadConfig(kind="classes", n_classes=2, labels=LABELS)
    size = {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 16}
    model = build_model(FAMILIES["bert"].config("tiny", vocab_size=tokenizer.vocab_size, head=head, **size))
    out = tmp_path / "model"
    save_model(model, out)
    tokenizer.save(out)
    return out


def test_a_text_alone_is_classified_as_among_others_and_order_is_kept(folder):
    classifier = load_classifier(folder)
    texts = ["a", "好看的电影 " * 9, "a fine film", "", "film"]
    together = classifier.predict(texts)
    for text, prediction in zip(texts, together, strict=True):
        alone = classifier.predict([text])[0]
        assert alone.label == prediction.label
        assert alone.probabilities == pytest.approx(prediction.probabilities, abs=1e-6)


def test_probabilities_go_by_label_and_add_up(folder):
    prediction = load_classifier(folder).predict(["a fine film"])[0]
    assert tuple(prediction.probabilities) == LABELS
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    assert (
        prediction.probability
        == max(prediction.probabilities.values())
        == prediction.probabilities[prediction.label]
    )


def test_nothing_in_gives_nothing_out(folder):
    assert load_classifier(folder).predict([]) == []


def test_a_language_model_is_refused_with_what_it_can_do(tmp_path):
    tokenizer = train_bpe(["a fine film"], 300, template=False)
    size = {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 16}
    save_model(
        build_model(FAMILIES["gpt2"].config("tiny", vocab_size=tokenizer.vocab_size, **size)), tmp_path
    )
    tokenizer.save(tmp_path)
    with pytest.raises(CheckpointError, match="is a language model: it has no labels") as caught:
        load_classifier(tmp_path)
    assert "luban train --task classify --model" in caught.value.fix


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds no config.json, so it is not a model"):
        load_classifier(tmp_path)


def test_texts_longer_than_training_saw_are_cut_as_training_cut_them(folder):
    write_json(folder / "tokenizer_config.json", {"model_max_length": 6})
    texts = ["a" * 8, "a" * 10]
    assert all(6 < n <= 16 for n in map(len, load_tokenizer(folder).encode_batch(texts, special=True)))
    long, longer = load_classifier(folder).predict(texts)
    assert long.probabilities == longer.probabilities


def test_a_cut_keeps_the_separator_of_the_template():
    assert cut([1, 5, 6, 7, 2], 3, 2) == [1, 5, 2]
    assert cut([5, 6, 7], 2, 2) == [5, 6]
    assert cut([5, 6], 2) == [5, 6]
