"""What a search may try is read from one line a setting, and nonsense is refused."""

import pytest

from luban.errors import ConfigError
from luban.tasks.search_space import read_space


def test_bounds_whole_numbers_and_lists_are_told_apart():
    lr, layers, pool = read_space(
        ["train.lr=1e-5..1e-3:log", "train.model.n_layers=1..4", "train.pool=first,mean,null"]
    )
    assert (lr.low, lr.high, lr.is_log, lr.is_whole) == (1e-5, 1e-3, True, False)
    assert (layers.first(), layers.is_whole) == (1, True)
    assert pool.values == ("first", "mean", None)


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ([], "no setting to search"),
        (["train.lr"], "says nothing to try"),
        (["train.lr=1e-3"], "one value only"),
        (["train.lr=1,1"], "one twice"),
        (["train.lr=2..1"], "nothing lies between"),
        (["train.lr=0..1:log"], "nothing lies between"),
        (["train.lr=a..b"], "is no number"),
        (["train.lr=1..2", "train.lr=1..3"], "searched twice"),
    ],
)
def test_nonsense_is_refused(texts, problem):
    with pytest.raises(ConfigError, match=problem):
        read_space(texts)
