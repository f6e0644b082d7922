import pytest
import torch
from torch.testing import assert_close

from luban.errors import ConfigError, DataError
from luban.models.cache import Cache

DECODERS = ("gpt2", "llama", "qwen3", "recurrent")


@pytest.mark.parametrize("n_prompt", [1, 4])
@pytest.mark.parametrize("family", DECODERS)
def test_reading_step_by_step_gives_the_logits_of_reading_at_once(family, n_prompt, tiny, tokens):
    model, rows = tiny(family), tokens(2, 10)
    cache = Cache(model.config, batch_size=2, max_len=10)
    parts = [model(rows[:, :n_prompt], cache=cache)]
    parts += [model(rows[:, i : i + 1], cache=cache) for i in range(n_prompt, 10)]
    assert_close(torch.cat(parts, 1), model(rows))


@pytest.mark.parametrize("family", DECODERS)
def test_unequal_prompts_padded_on_the_left_go_on_as_they_would_alone(family, tiny, tokens):
    model, rows = tiny(family), tokens(3, 10)
    n_padding = (0, 2, 4)
    documents = torch.stack([(torch.arange(6) >= n).long() for n in n_padding])
    cache = Cache(model.config, batch_size=3, max_len=10)
    model(rows[:, :6], documents, cache)
    later = torch.cat([model(rows[:, i : i + 1], cache=cache) for i in range(6, 10)], 1)
    for row, n in enumerate(n_padding):
        assert_close(later[row : row + 1], model(rows[row : row + 1, n:])[:, -4:])


@pytest.mark.parametrize("family", DECODERS)
def test_several_tokens_at_a_time_can_follow_a_prompt(family, tiny, tokens):
    model, rows = tiny(family), tokens(2, 10)
    cache = Cache(model.config, batch_size=2, max_len=10)
    model(rows[:, :3], cache=cache)
    assert_close(model(rows[:, 3:8], cache=cache), model(rows[:, :8])[:, 3:])


@pytest.mark.parametrize("family", DECODERS)
def test_rows_that_are_kept_go_on_undisturbed(family, tiny, tokens):
    model, rows = tiny(family), tokens(3, 6)
    documents = torch.ones(3, 5, dtype=torch.long)
    documents[2, :2] = 0
    cache = Cache(model.config, batch_size=3, max_len=6)
    model(rows[:, :5], documents, cache)
    cache.keep([2, 0])
    after = model(rows[[2, 0], 5:], cache=cache)
    assert_close(after[0], model(rows[2:, 2:])[0, -1:])
    assert_close(after[1], model(rows[:1])[0, -1:])


def test_a_full_cache_says_how_large_it_should_be(tiny, tokens):
    model = tiny("gpt2")
    cache = Cache(model.config, batch_size=1, max_len=4)
    model(tokens(1, 3), cache=cache)
    with pytest.raises(DataError, match="3 tokens read and 2 new ones do not fit a cache of 4"):
        model(tokens(1, 2), cache=cache)


@pytest.mark.parametrize("family", DECODERS)
def test_a_cached_row_cannot_grow_past_max_len(family, tiny, tokens):
    model = tiny(family, max_len=6)
    cache = Cache(model.config, batch_size=1, max_len=20)
    model(tokens(1, 6), cache=cache)
    with pytest.raises(DataError, match="a row of 7 tokens is longer than the model's max_len = 6"):
        model(tokens(1, 1), cache=cache)


def test_an_encoder_cannot_go_on_from_a_cache(tiny):
    with pytest.raises(ConfigError, match="cannot go on from a cache"):
        Cache(tiny("bert").config, batch_size=1, max_len=4)


@pytest.mark.parametrize("family", [f for f in DECODERS if f != "recurrent"])
def test_tokens_cut_from_a_cache_were_never_read(family, tiny, tokens):
    model, row = tiny(family), tokens(1, 9)
    cache = Cache(model.config, 1, 12)
    model(row, cache=cache)
    cache.cut(4)
    assert_close(
        model(row[:, 4:6].flip(1), cache=cache), model(torch.cat([row[:, :4], row[:, 4:6].flip(1)], 1))[:, 4:]
    )
