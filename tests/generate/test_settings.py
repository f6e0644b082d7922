import pytest

from luban.errors import ConfigError
from luban.generate.settings import SamplingSettings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens = 0 cannot be\n  fix: set max_new_tokens to 1 or more"),
        ({"temperature": -0.1}, "temperature = -0.1 cannot be"),
        ({"temperature": float("nan")}, "temperature = nan cannot be"),
        ({"top_k": -1}, "top_k = -1 cannot be"),
        ({"top_p": 0.0}, "top_p = 0.0 cannot be\n  fix: set top_p to above 0, at most 1 (off)"),
        ({"min_p": 1.0}, "min_p = 1.0 cannot be"),
        ({"seed": -1}, "seed = -1 cannot be"),
        (
            {"repetition_penalty": 0.0},
            "repetition_penalty = 0.0 cannot be\n  fix: set repetition_penalty to above 0",
        ),
        ({"frequency_penalty": float("inf")}, "frequency_penalty = inf cannot be"),
        ({"presence_penalty": float("nan")}, "presence_penalty = nan cannot be"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram = -1 cannot be"),
        ({"stop": ("",)}, "stop = ('',) cannot be"),
    ],
)
def test_impossible_settings_are_refused_with_their_value(wrong, message):
    with pytest.raises(ConfigError) as error:
        SamplingSettings(**wrong)
    assert message in str(error.value)
