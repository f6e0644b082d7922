"""Another activation in every MLP, and no weight touched."""

import pytest
import torch

from luban.errors import ConfigError
from luban.models.model import Model
from luban.tune.surgery import change_activation
from tests.models.conftest import ask
from tests.tune.surgery.conftest import same_after_saving


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert", "t5", "whisper", "original"])
def test_it_is_the_model_that_would_have_been_built_with_it(family, tiny, tokens, tmp_path):
    model = tiny(family)
    weights = {n: p.clone() for n, p in model.state_dict().items()}
    before = ask(model, tokens(2, 9))
    change_activation(model, "tanh")
    assert all(torch.equal(weights[n], p) for n, p in model.state_dict().items())
    assert not torch.allclose(ask(model, tokens(2, 9)), before)
    built = Model(model.config).eval()
    built.load_state_dict(weights)
    assert torch.equal(ask(built, tokens(2, 9)), ask(model, tokens(2, 9)))
    same_after_saving(model, tmp_path, tokens(2, 9))


def test_an_unknown_one_and_a_model_without_any_are_refused(tiny):
    with pytest.raises(ConfigError, match="activation = 'gelo' is none\n  fix: did you mean gelu?"):
        change_activation(tiny("gpt2"), "gelo")
    with pytest.raises(ConfigError, match="this recurrent model has no MLP"):
        change_activation(tiny("recurrent"), "relu")
