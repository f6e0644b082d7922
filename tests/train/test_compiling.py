"""Compiling: decided by a trial that changes nothing, once for a run, and said in words."""

from typing import Any

import pytest
import torch
from torch import nn

from luban.errors import ConfigError
from luban.log import Log
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.model import Model
from luban.objectives.vocabulary import supervised_tokens
from luban.records import Batch
from luban.train import compiling
from luban.train.compiling import compile_blocks, decide, eager, leave_eager, recompiles
from luban.train.precision import Precision
from luban.train.recompute import blocks, recompute_blocks
from luban.train.run import Run
from tests.train.toy_run import settings

pytestmark = [  # of torch's own making while it traces
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
FLOAT32 = Precision(torch.float32, torch.device("cpu"))


class Windows:
    """Batches of several shapes, one of them with two documents in a row."""

    def at(self, step: int) -> list[Batch]:
        made = torch.Generator().manual_seed(step)
        tokens = torch.randint(3, 100, (2 + step % 2, 8 + 4 * (step % 3)), generator=made)
        documents = torch.ones_like(tokens)
        if step % 3 == 0:
            documents[:, 5:] = 2
        return [Batch(tokens, documents, tokens.roll(-1, 1))]


def model_of(**changes: Any) -> Model:
    sizes = {"dim": 16, "n_layers": 3, "n_heads": 2, "ffn_dim": 24, "max_len": 32, "dropout": 0.0}
    return build_model(FAMILIES["gpt2"].config("tiny", vocab_size=100, **(sizes | changes)), seed=1)


def run_of(model: nn.Module, **changes: Any) -> Run:
    return Run(
        model=model,
        batches=Windows(),
        objective=supervised_tokens,
        settings=settings(**changes),
        evaluate=dict,
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace the blocks as for a compiler, but let torch run what was traced."""
    torch._dynamo.reset()

    def trace(module: nn.Module, **how: Any) -> None:
        module._compiled_call_impl = torch.compile(module._call_impl, backend="eager", **how)

    monkeypatch.setattr(nn.Module, "compile", trace)


def timed(monkeypatch: pytest.MonkeyPatch, slow: float, fast: float) -> None:
    """Let eager and compiled passes seem to take so long, and any run seem long enough to try."""
    monkeypatch.setattr(compiling, "SLOWEST", {})

    def seconds(run: Run, precision: Precision, batches: Any) -> float:
        return fast if is_compiled(run.model) else slow

    monkeypatch.setattr(compiling, "_seconds", seconds)


def is_compiled(model: nn.Module) -> bool:
    return any(block._compiled_call_impl is not None for block in blocks(model))


def gradients(model: Model, batch: Batch) -> list[torch.Tensor]:
    total = supervised_tokens(model, batch).total
    return list(torch.autograd.grad(total, list(model.parameters())))


def decided(run: Run, n_steps: int, **given: Any) -> compiling.Decision:
    return decide(run, FLOAT32, Log(quiet=True), range(1, n_steps + 1), **given)


def test_one_body_serves_all_layers_and_shapes(quick: None) -> None:
    model = model_of().train()
    expected = [gradients(model, Windows().at(step)[0]) for step in range(1, 7)]
    before = recompiles()
    compile_blocks(model)
    found = [gradients(model, Windows().at(step)[0]) for step in range(1, 7)]
    assert recompiles() - before <= 2
    for a, b in zip(found, expected, strict=True):
        for x, y in zip(a, b, strict=True):
            torch.testing.assert_close(x, y)


def test_blocks_that_compute_again_can_be_compiled(quick: None) -> None:
    model, batch = model_of().train(), Windows().at(1)[0]
    expected = gradients(model, batch)
    recompute_blocks(model, "all")
    compile_blocks(model)
    for x, y in zip(gradients(model, batch), expected, strict=True):
        torch.testing.assert_close(x, y)


def test_names_stay_and_a_look_is_eager(quick: None) -> None:
    model = model_of()
    before = list(model.state_dict())
    compile_blocks(model)
    assert list(model.state_dict()) == before
    assert is_compiled(model)
    with eager(model):
        assert not is_compiled(model)
    assert is_compiled(model)
    leave_eager(model)
    assert not is_compiled(model)


def test_too_little_work_is_not_even_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_gradients", lambda *_: pytest.fail("a pass was computed"))
    found = decided(run_of(model_of()), 300)
    assert found == compiling.Decision(False, "compile: off, 300 steps are too little work to repay it")


def test_a_short_run_is_timed_and_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, slow=0.1, fast=0.0)
    monkeypatch.setattr(compiling, "_compile", lambda *_: pytest.fail("it was compiled"))
    found = decided(run_of(model_of()), 100)
    assert not found.compiled
    assert "100 steps × 0.1 s; compiling takes 20 s or more and saves at most 7%" in found.words


@pytest.mark.parametrize(("fast", "pays", "words"), [(0.4, True, "saves 0.1 s"), (0.6, False, "loses 0.1 s")])
def test_a_long_run_compiles_and_keeps_what_is_faster(
    fast: float, pays: bool, words: str, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, slow=0.5, fast=fast)
    model = model_of()
    found = decided(run_of(model), 2000)
    assert (found.compiled, is_compiled(model)) == (pays, pays)
    assert words in found.words


def test_the_trial_changes_no_weight_and_leaves_no_gradient(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "SLOWEST", {})
    model = model_of(dropout=0.2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    decided(run_of(model, compile="on"), 100)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("before", [True, False])
def test_a_resumed_run_repeats_its_decision(
    before: bool, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, slow=1.0, fast=2.0 if before else 0.1)  # a new trial would say the contrary
    model = model_of()
    assert decided(run_of(model), 2000, before=before).compiled is before
    assert is_compiled(model) is before


def test_a_setting_outranks_what_was_decided(quick: None) -> None:
    assert not decided(run_of(model_of(), compile="off"), 2000, before=True).compiled
    assert decided(run_of(model_of(), compile="on"), 2000, before=False).compiled


def test_several_processes_do_not_time_each_for_itself(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, slow=1.0, fast=0.1)
    assert not decided(run_of(model_of()), 2000, alone=False).compiled
    model = model_of()
    assert decided(run_of(model, compile="on"), 2000, alone=False).compiled
    assert is_compiled(model)


def test_without_a_compiler_auto_stays_eager_and_on_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    assert decided(run_of(model_of()), 10**6).words == "compile: off, there is no C++ compiler"
    with pytest.raises(ConfigError, match=r"compile = on, but there is no C\+\+ compiler") as told:
        decided(run_of(model_of(), compile="on"), 10)
    assert "install g++" in told.value.fix


def test_a_model_without_blocks_is_left_alone() -> None:
    model = build_model(FAMILIES["recurrent"].config("tiny", vocab_size=50, dim=16), seed=1)
    assert not decided(run_of(model), 10**6).compiled
    with pytest.raises(ConfigError, match="no blocks that a compiler takes"):
        decided(run_of(model, compile="on"), 10)


def test_a_compiler_that_fails_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, slow=1.0, fast=0.1)

    def broken(model: nn.Module) -> None:
        raise RuntimeError("ld: cannot find -lgomp")

    monkeypatch.setattr(compiling, "compile_blocks", broken)
    found = decided(run_of(model_of()), 2000)
    assert found.words == "compile: off, the blocks cannot be compiled: ld: cannot find -lgomp"
    with pytest.raises(ConfigError, match="cannot find -lgomp"):
        decided(run_of(model_of(), compile="on"), 2000)
