import random

import numpy as np
import pytest

from luban.data.funnel import OTHERS
from luban.data.tallies import Chosen, Spread, Top, Values, log_edges


def spread_of(values: list[int]) -> Spread:
    spread = Spread()
    for value in values:
        spread.add(value)
    return spread


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_quantiles_are_those_of_numpy_to_within_a_sixty_fourth(share: float) -> None:
    draw = random.Random(1)
    values = [int(draw.lognormvariate(6, 2)) for _ in range(5000)]
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert spread_of(values).quantile(share) == pytest.approx(exact, rel=1 / 64)
    small = [v % 128 for v in values]
    assert spread_of(small).quantile(share) == np.quantile(small, share, method="inverted_cdf")


def test_a_spread_in_parts_is_that_of_the_whole_and_its_bars_lose_nothing() -> None:
    draw = random.Random(2)
    values = [draw.randrange(10 ** draw.randrange(1, 7)) for _ in range(3000)]
    whole, parts = spread_of(values), Spread()
    for i in range(0, 3000, 700):
        parts.merge(spread_of(values[i : i + 700]))
    assert parts == whole
    facts = whole.facts()
    assert (facts["n"], facts["least"], facts["most"]) == (3000, min(values), max(values))
    assert facts["mean"] == pytest.approx(np.mean(values), abs=1e-3)
    assert sum(n for _, _, n in facts["bars"]) == 3000
    assert [bar[1] for bar in facts["bars"][:-1]] == [bar[0] for bar in facts["bars"][1:]]
    assert spread_of([]).facts() == {"n": 0}


def test_bars_on_a_logarithmic_axis_begin_at_preferred_numbers() -> None:
    assert log_edges(10) == [0, 1, 2, 3, 4, 6, 10, 16]
    assert log_edges(2000)[-5:] == [400, 630, 1000, 1600, 2500]
    assert log_edges(0)[0] == 0
    assert all(a < b for a, b in zip(log_edges(10**9), log_edges(10**9)[1:], strict=False))


def test_of_very_many_values_the_largest_are_named_and_none_is_lost() -> None:
    values = Values(3)
    for i in range(100):
        values.add(f"site {i}", 1, i)
        values.add("large", 1, 1000)
    facts = values.facts()
    assert list(facts) == ["large", "site 99", "site 98", OTHERS]
    assert sum(one["documents"] for one in facts.values()) == 200
    assert sum(one["bytes"] for one in facts.values()) == 100_000 + sum(range(100))


def test_the_most_frequent_are_remembered_however_many_rare_ones_come() -> None:
    top = Top(10)
    for i in range(500):
        top.add({"often": 3, "sometimes": 2, f"once {i}": 1})
    assert top.first(2) == [("often", 1500), ("sometimes", 1000)]
    assert len(top.counts) <= 40
    assert top.total == 3000


def test_samples_are_the_same_in_whatever_order_and_parts_they_come() -> None:
    rows = [(f"{i * 7919 % 1000:04}".encode(), {"id": i}) for i in range(200)]
    found = []
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        parts = [Chosen(3), Chosen(3)]
        for i, (key, sample) in enumerate(rows):
            parts[i % 2].add("en", key, sample)
        parts[0].merge(parts[1])
        found.append(parts[0].facts())
    assert found[0] == found[1] == found[2]
    assert len(found[0]["en"]) == 3
    assert not Chosen(0).wants("en", b"")
