import torch
from torch.testing import assert_close

from luban.generate.sampling import choose, generators, kept_probabilities
from luban.generate.settings import SamplingSettings

SHARES = torch.tensor([[0.5, 0.25, 0.15, 0.07, 0.03]])
LOGITS = SHARES.log()


def kept(**settings):
    return kept_probabilities(LOGITS, SamplingSettings(**settings))[0]


def test_without_limits_the_probabilities_are_the_softmax():
    assert_close(kept(), SHARES[0])


def test_temperature_sharpens_and_flattens():
    assert_close(kept(temperature=0.5), SHARES[0].square() / SHARES[0].square().sum())
    assert_close(kept(temperature=2.0), SHARES[0].sqrt() / SHARES[0].sqrt().sum())


def test_top_k_keeps_the_k_likeliest():
    assert_close(kept(top_k=2), torch.tensor([2 / 3, 1 / 3, 0, 0, 0]))
    assert_close(kept(top_k=99), SHARES[0])


def test_top_p_keeps_the_fewest_tokens_that_hold_the_share():
    assert_close(kept(top_p=0.6), torch.tensor([2 / 3, 1 / 3, 0, 0, 0]))
    assert_close(kept(top_p=0.76), torch.tensor([0.5, 0.25, 0.15, 0, 0]) / 0.9)
    assert_close(kept(top_p=0.01), torch.tensor([1.0, 0, 0, 0, 0]))


def test_min_p_is_a_share_of_the_likeliest():
    assert_close(kept(min_p=0.29), torch.tensor([0.5, 0.25, 0.15, 0, 0]) / 0.9)
    assert_close(kept(min_p=0.99), torch.tensor([1.0, 0, 0, 0, 0]))


def test_equal_scores_leave_no_more_than_the_share_asks_for():
    even = kept_probabilities(torch.zeros(1, 4), SamplingSettings(top_p=0.5))
    assert_close(even[0], torch.tensor([0.5, 0.5, 0, 0]))


def test_temperature_zero_takes_the_likeliest():
    chance = generators(2, 1)
    chosen = choose(LOGITS.repeat(2, 1).roll(1, 1), SamplingSettings(temperature=0), chance)
    assert chosen.tolist() == [1, 1]


def test_draws_follow_the_probabilities():
    rows = LOGITS.expand(4000, 5)
    chance = [torch.Generator().manual_seed(i) for i in range(4000)]
    counts = choose(rows, SamplingSettings(top_k=3), chance).bincount(minlength=5) / 4000
    assert_close(counts, torch.tensor([0.5, 0.25, 0.15, 0, 0]) / 0.9, atol=0.03, rtol=0)


def test_a_row_draws_the_same_whatever_stands_beside_it():
    settings = SamplingSettings(seed=9)
    alone = choose(LOGITS, settings, generators(1, 9))
    beside = choose(torch.cat([torch.zeros(1, 5), LOGITS]), settings, generators(2, 9))
    assert beside[1] == alone[0]
