import pytest
import torch
from torch.testing import assert_close

from luban.errors import DataError
from luban.generate import SamplingSettings
from luban.generate.decode import decode
from luban.generate.reader import Prompts
from luban.generate.rules import Suppressed, adjusted, ends_of_repeats
from luban.generate.sampling import kept_probabilities

V = 30


@pytest.fixture
def random_scores():
    draw = torch.Generator().manual_seed(2)
    return torch.randn(3, V, generator=draw) * 3, torch.randint(0, V, (3, 40), generator=draw).tolist()


def theirs(ids, scores, *processors):
    tokens = torch.tensor(ids)
    for processor in processors:
        scores = processor(tokens, scores.clone())
    return scores


def split(ids, n_prompt=25):
    return [row[:n_prompt] for row in ids], [row[n_prompt:] for row in ids]


@pytest.mark.parametrize("penalty", [1.3, 0.7])
def test_repetition_is_penalised_as_in_transformers(penalty, random_scores):
    processors = pytest.importorskip("transformers.generation.logits_process")
    scores, ids = random_scores
    ours = adjusted(scores, *split(ids), SamplingSettings(repetition_penalty=penalty))
    assert_close(ours, theirs(ids, scores, processors.RepetitionPenaltyLogitsProcessor(penalty)))
    assert not torch.equal(ours, scores)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_ngrams_that_may_not_come_again_are_those_of_transformers(n, random_scores):
    processors = pytest.importorskip("transformers.generation.logits_process")
    scores, ids = random_scores
    ids = [[*row[:-2], *row[3:5]] for row in ids]  # so that each row ends as it was before
    ours = adjusted(scores, *split(ids), SamplingSettings(no_repeat_ngram=n))
    assert_close(ours, theirs(ids, scores, processors.NoRepeatNGramLogitsProcessor(n)))
    assert (ours == -torch.inf).any(1).all()


def test_all_together_come_in_the_order_of_transformers(random_scores):
    processors = pytest.importorskip("transformers.generation.logits_process")
    scores, ids = random_scores
    settings = SamplingSettings(
        repetition_penalty=1.4, no_repeat_ngram=2, temperature=0.7, top_k=12, top_p=0.9, min_p=0.02
    )
    always, first = [3, 5, 8], [11, 12]
    expected = theirs(
        ids,
        scores,
        processors.RepetitionPenaltyLogitsProcessor(1.4),
        processors.NoRepeatNGramLogitsProcessor(2),
        processors.SuppressTokensLogitsProcessor(always),
        processors.SuppressTokensAtBeginLogitsProcessor(first, len(ids[0])),
        processors.TemperatureLogitsWarper(0.7),
        processors.TopKLogitsWarper(12),
        processors.TopPLogitsWarper(0.9),
        processors.MinPLogitsWarper(0.02),
    ).softmax(-1)
    prompts, written = ids, [[], [], []]
    ours = adjusted(scores, prompts, written, settings, [Suppressed(always, first)])
    assert_close(kept_probabilities(ours, settings), expected)


def test_what_was_written_costs_by_its_count_and_once_by_its_presence():
    settings = SamplingSettings(frequency_penalty=0.5, presence_penalty=0.25)
    ours = adjusted(torch.zeros(2, 4), [[3], [3]], [[1, 1, 2], []], settings)
    assert ours.tolist() == [[0, -1.25, -0.75, 0], [0, 0, 0, 0]]


def test_the_scores_given_stay_as_they_are(random_scores):
    scores, ids = random_scores
    before = scores.clone()
    settings = SamplingSettings(repetition_penalty=2, frequency_penalty=1, no_repeat_ngram=1)
    adjusted(scores, *split(ids), settings, [Suppressed([1], [2])])
    assert torch.equal(scores, before)
    assert adjusted(scores, *split(ids), SamplingSettings()) is scores


def test_ends_of_repeats():
    assert ends_of_repeats([1, 2, 3, 1, 2, 4, 1, 2], 3) == [3, 4]
    assert ends_of_repeats([1, 2], 3) == []
    assert ends_of_repeats([7, 8], 1) == [7, 8]


def test_only_a_rows_first_token_is_kept_from_the_first(writer):
    model, prompts = writer(), Prompts([[9, 8], [7]])
    free = decode(model, prompts, SamplingSettings(temperature=0, max_new_tokens=8))
    first = sorted({ids[0] for ids in free})
    held = decode(
        model, prompts, SamplingSettings(temperature=0, max_new_tokens=8), rules=[Suppressed(first=first)]
    )
    assert not {ids[0] for ids in held} & set(first)
    never = {id for ids in held for id in ids}
    rules = [Suppressed(always=sorted(never))]
    other = decode(model, prompts, SamplingSettings(temperature=0, max_new_tokens=8), rules=rules)
    assert not {id for ids in other for id in ids} & never


def test_forbidding_every_token_is_an_error_and_not_token_zero(writer):
    model = writer()
    everything = Suppressed(always=range(model.config.vocab_size))
    with pytest.raises(DataError, match="every one is forbidden"):
        decode(model, Prompts([[9]]), SamplingSettings(), rules=[everything])
