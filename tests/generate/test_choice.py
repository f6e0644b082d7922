import math

import pytest
import torch

from luban.errors import CheckpointError, DataError
from luban.generate import SamplingSettings, choose_among, write_choice
from luban.generate.choice import OneOf, encode_choices

CHOICES = [" the question", " not", " to be, or not to be, that is", "今天", "天气很好"]
FAMILIES = ["gpt2", "llama", "recurrent", "t5", "original"]


def log_probability(model, tokenizer, prompt, answer, ends=()):
    """Score the whole text without a cache, from its second token on."""
    if model.encoder is None:
        ids, source = [*tokenizer.encode(prompt + answer), *ends], {}
    else:
        ids = [model.config.start_id, *tokenizer.encode(answer), *ends]
        source = {"source": torch.tensor([tokenizer.encode(prompt, special=True)])}
    scores = model(torch.tensor([ids]), **source).detach()[0, :-1].log_softmax(-1)
    return float(scores.gather(1, torch.tensor(ids[1:])[:, None]).sum())


@pytest.mark.parametrize("with_end", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_choices_are_scored_as_whole_texts(family, with_end, writer, tokenizer):
    model = writer(family)
    found = choose_among(model, tokenizer, "To be, or", CHOICES, with_end=with_end)
    ends = [tokenizer.eos_id] if with_end else []
    whole = torch.tensor([log_probability(model, tokenizer, "To be, or", c, ends) for c in CHOICES])
    # The whole text's probability holds that of the prompt, the same for all.
    differences = torch.tensor(found.log_probabilities) - whole
    assert differences.max() - differences.min() < 1e-4
    assert found.probabilities == pytest.approx(whole.softmax(0).tolist(), rel=1e-3, abs=1e-7)
    assert found.best == CHOICES[whole.argmax()]
    assert sum(found.probabilities) == pytest.approx(1)


@pytest.mark.parametrize("per", ["token", "character"])
def test_length_can_be_normalised_away(per, writer, tokenizer):
    model, prompt = writer(), "To be, or"
    found = choose_among(model, tokenizer, prompt, CHOICES, per=per)
    _, rests = encode_choices(model, tokenizer, prompt, CHOICES)
    lengths = [len(rest) for rest in rests] if per == "token" else [len(choice) for choice in CHOICES]
    means = torch.tensor(found.log_probabilities) / torch.tensor(lengths)
    assert found.probabilities == pytest.approx(means.softmax(0).tolist(), rel=1e-4, abs=1e-7)
    assert found.log_probabilities == choose_among(model, tokenizer, prompt, CHOICES).log_probabilities


def test_a_token_across_the_border_counts_for_the_choice(writer, tokenizer):
    prompt, choices = "or to b", ["e", "!"]
    assert len(tokenizer.encode("or to be")) < len(tokenizer.encode("or to b"))  # " be" is one token
    model = writer()
    common, rests = encode_choices(model, tokenizer, prompt, choices)
    assert [tokenizer.decode([*common.ids[0], *rest]) for rest in rests] == [prompt + c for c in choices]
    assert [[*common.ids[0], *rest] for rest in rests] == [tokenizer.encode(prompt + c) for c in choices]
    found = choose_among(model, tokenizer, prompt, choices)
    whole = [log_probability(model, tokenizer, prompt, c) for c in choices]
    log_odds = math.log(found.probabilities[0] / found.probabilities[1])
    assert log_odds == pytest.approx(whole[0] - whole[1], abs=1e-4)


def test_without_anything_in_common_a_start_token_goes_before(writer, tokenizer):
    model = writer()
    common, rests = encode_choices(model, tokenizer, "", ["To", "be"])
    assert common.ids == [[tokenizer.eos_id]]
    assert rests == tokenizer.encode_batch(["To", "be"])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_is_one_of_the_choices(family, temperature, writer, tokenizer):
    model = writer(family)
    found = {
        write_choice(
            model, tokenizer, "To be, or", CHOICES, SamplingSettings(temperature=temperature, seed=s)
        )
        for s in range(1 if temperature == 0 else 6)
    }
    assert found <= set(CHOICES)
    assert len(found) > (temperature > 0)


def test_among_single_tokens_writing_finds_what_scoring_finds(writer, tokenizer):
    model, choices = writer("llama"), list("aeiou")
    assert (
        write_choice(model, tokenizer, "To b", choices)
        == choose_among(model, tokenizer, "To b", choices).best
    )


def test_the_beginning_of_another_choice_can_be_written_too(writer, tokenizer):
    model = writer()
    seeds = [SamplingSettings(temperature=8.0, seed=seed) for seed in range(30)]
    found = {write_choice(model, tokenizer, "or", ["1", "10", "100"], settings) for settings in seeds}
    assert found == {"1", "10", "100"}


def test_without_an_end_token_a_complete_choice_ends_all_the_same():
    rule = OneOf([[0, 5], [1]], ends=[])
    scores = torch.zeros(2, 8)
    left = rule(scores, [[1], []])
    assert (left[0] > -torch.inf).nonzero().flatten().tolist() == [rule.end]
    assert (left[1] > -torch.inf).nonzero().flatten().tolist() == [0, 1]
    with pytest.raises(DataError, match="one choice is the beginning of another"):
        OneOf([[0, 5], [0]], ends=[])


@pytest.mark.parametrize("choices", [[], ["a", ""], ["a", "b", "a"]], ids=str)
def test_choices_must_differ(choices, writer, tokenizer):
    with pytest.raises(DataError, match="are none, or one is empty or named twice"):
        choose_among(writer(), tokenizer, "To be", choices)


def test_a_choice_that_does_not_fit_names_the_context(writer, tokenizer):
    with pytest.raises(DataError, match="and the model's context is 12"):
        write_choice(writer(max_len=12), tokenizer, "To be", ["not " * 20, "a"])


def test_a_classifier_cannot_choose_texts(writer, tokenizer):
    with pytest.raises(CheckpointError, match="cannot write"):
        choose_among(writer("bert"), tokenizer, "To be", ["a", "b"])
