"""Native kernels in a run: the same model, the same names, one decision from the first step to the last."""

import copy
from functools import partial

import pytest
import torch

from luban.errors import ConfigError, Interrupted
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.native import tensors as native
from luban.objectives.next_token import next_token
from luban.train.kernels import Choice, leave_kernels, use_kernels
from luban.train.precision import Precision
from luban.train.recompute import recompute_blocks
from luban.tune.lora import attach
from luban.tune.settings import LoraSettings
from tests.train.test_run import StopAfter
from tests.train.toy_run import Rows, run

FLOAT32 = Precision(torch.float32, torch.device("cpu"))


@pytest.fixture
def kernels(own_home):
    if not native.is_available():
        pytest.skip("there is no C++ compiler here")


def model(family="llama", **changes):
    torch.manual_seed(1)
    size = {"dim": 32, "n_layers": 2, "n_heads": 4, "max_len": 16}
    return build_model(FAMILIES[family].config("tiny", vocab_size=11, **(size | changes))).train()


def choices(model):
    return sorted({name for m in model.modules() for name, v in vars(m).items() if isinstance(v, Choice)})


def gradients(model):
    torch.manual_seed(2)
    model.zero_grad()
    total = next_token(model, Rows().batch(1, 0)).total
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    grads = torch.autograd.grad(total, [p for _, p in named])
    return {"loss": total.detach(), **dict(zip((n for n, _ in named), grads, strict=True))}


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(("family", "used"), [("gpt2", ["activation"]), ("llama", ["gated", "rotate"])])
def test_gradients_and_names_stay(family, used):
    made = model(family)
    plain, names = gradients(made), list(made.state_dict())
    assert use_kernels(made, FLOAT32)
    assert choices(made) == used
    close(gradients(made), plain)
    close(gradients(copy.deepcopy(made)), plain)
    assert list(made.state_dict()) == names
    leave_kernels(made)
    assert not choices(made)
    assert all(torch.equal(a, plain[n]) for n, a in gradients(made).items())


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("mode", ["selective", "all"])
def test_recomputing_gives_the_same_bits(mode):
    made = model()
    use_kernels(made, FLOAT32)
    kept = gradients(made)
    recompute_blocks(made, mode)
    assert all(torch.equal(a, kept[n]) for n, a in gradients(made).items())


@pytest.mark.usefixtures("kernels")
def test_adapters_learn_as_they_would():
    made = model()
    attach(made, LoraSettings(rank=2))
    plain = gradients(made)
    use_kernels(made, FLOAT32)
    close(gradients(made), plain)


@pytest.mark.usefixtures("kernels")
def test_kernels_are_really_called(monkeypatch):
    made, called = model(), set()
    for name in ("silu_times", "rotate"):
        kernel = getattr(native, name)
        monkeypatch.setattr(native, name, lambda *x, n=name, f=kernel: (called.add(n), f(*x))[1])
    use_kernels(made, FLOAT32)
    gradients(made)
    assert called == {"silu_times", "rotate"}


@pytest.mark.usefixtures("kernels")
def test_what_is_no_float32_goes_through_torch():
    made = model()
    use_kernels(made, FLOAT32)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(made)["loss"]
    leave_kernels(made)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(found, gradients(made)["loss"], rtol=1e-2, atol=1e-2)


def test_a_model_without_such_operators_asks_for_no_kernels(monkeypatch):
    monkeypatch.setattr(native, "is_available", lambda: pytest.fail("asked"))
    assert not use_kernels(model("bert", activation="gelu"), FLOAT32)
    assert not use_kernels(model(), Precision(torch.bfloat16, torch.device("cpu")))
    assert not use_kernels(model(), FLOAT32, before=False)


def test_without_kernels_all_stays_and_a_run_that_had_them_is_refused(monkeypatch):
    monkeypatch.setenv("LUBAN_NATIVE", "0")
    made = model()
    assert not use_kernels(made, FLOAT32)
    assert not choices(made)
    with pytest.raises(ConfigError, match="began with native kernels"):
        use_kernels(made, FLOAT32, before=True)


train = partial(
    run, objective=next_token, evaluate=lambda: {"loss": 0.0}, save_every_steps=2, steps=5, compile="off"
)


@pytest.mark.usefixtures("kernels")
def test_a_resumed_run_uses_what_it_began_with(tmp_path, monkeypatch):
    whole, halves, plain = model(), model(), model()
    assert train(tmp_path / "whole", whole)["native"] is True
    assert not choices(whole)
    with pytest.raises(Interrupted):
        train(tmp_path / "halves", model(), batches=StopAfter(3))
    with monkeypatch.context() as without:
        without.setenv("LUBAN_NATIVE", "0")
        with pytest.raises(ConfigError, match="began with native kernels"):
            train(tmp_path / "halves", model())
        with pytest.raises(Interrupted):
            train(tmp_path / "plain", model(), batches=StopAfter(3))
    train(tmp_path / "halves", halves)
    assert all(map(torch.equal, whole.state_dict().values(), halves.state_dict().values()))
    assert train(tmp_path / "plain", plain)["native"] is False


def test_a_compiler_sees_torchs_operators(monkeypatch):
    choice = Choice(lambda *_: pytest.fail("a kernel was called"), torch.add)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert choice(torch.ones(2), torch.ones(2)).tolist() == [2, 2]
