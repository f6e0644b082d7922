"""Adapters: they begin as nothing, learn as peft's do, merge exactly, and travel in peft's folders."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from luban.errors import CheckpointError, ConfigError
from luban.models.load import load_model, save_model
from luban.models.model import Model
from luban.tune.lora import LoraLinear, adapted, attach, detach, merge, unmerge
from luban.tune.peft_folder import load_adapter, save_adapter
from luban.tune.settings import LoraSettings
from tests.models.conftest import ask
from tests.models.references import reference
from tests.tune.conftest import few

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
SMALL = LoraSettings(rank=3, alpha=6.0)
PEFT_TARGETS = {
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "bert": ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"],
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "qwen2": ["q_proj", "v_proj", "down_proj"],
    "t5": ["q", "k", "v", "o", "wi", "wo"],
    "bert classes": ["query", "value"],
    "gpt2 trunk": ["c_attn"],
}
IDS = torch.randint(4, 60, (2, 9), generator=torch.Generator().manual_seed(5))


@pytest.fixture
def lora_model(tiny: Any) -> Any:
    """lora_model("llama", rank=2): adapters of random A and B on a tiny model."""

    def build(family: str = "llama", **settings: Any) -> Model:
        model = tiny(family)
        attach(model, LoraSettings(**({"rank": 3, "alpha": 6.0} | settings)))
        return _stirred(model)

    return build


def _stirred(model: Any) -> Any:
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.normal_(std=0.2, generator=generator)
    return model


def _gradients(model: torch.nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    y = ask(model, x)
    y.square().sum().backward()
    return y.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5"])
def test_new_adapters_change_nothing_and_learn_alone(family: str, tiny: Any, tokens: Any) -> None:
    model = tiny(family)
    before = ask(model, tokens(2, 9))
    names = attach(model, SMALL)
    torch.testing.assert_close(ask(model, tokens(2, 9)), before)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {
        f"{name}.lora_{half}" for name in names for half in "ab"
    }
    assert all("blocks." in name for name in names)


def test_the_seed_decides_the_adapters(tiny: Any) -> None:
    drawn = []
    for seed in (1, 1, 2):
        attach(model := tiny("llama"), SMALL, seed=seed)
        drawn.append(torch.cat([m.lora_a.flatten() for m in adapted(model).values()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_scores_and_gradients_are_those_of_the_plain_formula(
    family: str, lora_model: Any, tokens: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lora_model(family, alpha=5.0)
    scores, gradients = _gradients(model, tokens(2, 9))
    monkeypatch.setattr(LoraLinear, "_is_ordinary", lambda self, x: True)
    plain_scores, plain_gradients = _gradients(model, tokens(2, 9))
    torch.testing.assert_close(scores, plain_scores, rtol=1e-4, atol=1e-4)
    assert gradients.keys() == plain_gradients.keys()
    assert len(gradients) == 2 * len(adapted(model))
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, plain_gradients[name], rtol=1e-3, atol=1e-3, msg=name)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    base = torch.nn.Linear(5, 4).double()
    layer = LoraLinear(base, torch.randn(2, 5), torch.randn(4, 2), 1.5).double().requires_grad_(False)
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    a, b = layer.lora_a.requires_grad_(), layer.lora_b.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, a, b: layer(x), (x, a, b))


def test_layers_that_read_alike_are_answered_with_their_own_x(lora_model: Any) -> None:
    attention = lora_model("llama").trunk.blocks[0].attention
    x, y = torch.randn(1, 4, 32), torch.randn(1, 4, 32)
    alone = [layer(z).clone() for z in (x, y) for layer in (attention.q, attention.k, attention.v)]
    mixed = [attention.q(x), attention.q(y), attention.k(x), attention.v(y), attention.v(x), attention.k(y)]
    for i, got in zip((0, 3, 1, 5, 2, 4), mixed, strict=True):
        torch.testing.assert_close(got, alone[i])


def test_a_copy_of_an_adapted_model_is_a_model_of_its_own(lora_model: Any, tokens: Any) -> None:
    model = lora_model()
    before = model(tokens(2, 9))
    copied = copy.deepcopy(model)
    assert torch.equal(copied(tokens(2, 9)), before)
    with torch.no_grad():
        for layer in adapted(copied).values():
            layer.lora_b.zero_()
    assert torch.equal(model(tokens(2, 9)), before)
    assert not torch.allclose(copied(tokens(2, 9)), before)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5"])
def test_a_merged_model_scores_as_its_adapter_does_and_goes_back_bit_for_bit(
    family: str, lora_model: Any, tokens: Any
) -> None:
    model = lora_model(family)
    scores = ask(model, tokens(2, 9))
    weights = {name: m.weight.clone() for name, m in adapted(model).items()}
    merge(model)
    merge(model)  # a second time changes nothing
    torch.testing.assert_close(ask(model, tokens(2, 9)), scores, rtol=1e-4, atol=1e-4)
    assert not any(torch.equal(m.weight, weights[name]) for name, m in adapted(model).items())
    unmerge(model)
    assert all(torch.equal(m.weight, weights[name]) for name, m in adapted(model).items())
    assert torch.equal(ask(model, tokens(2, 9)), scores)


def test_a_merged_model_without_its_adapters_is_an_ordinary_folder(
    lora_model: Any, tokens: Any, tmp_path: Path
) -> None:
    model = lora_model()
    scores = model(tokens(2, 9))
    merge(model)
    detach(model)
    assert not adapted(model)
    save_model(model, tmp_path)
    torch.testing.assert_close(load_model(tmp_path)(tokens(2, 9)), scores, rtol=1e-4, atol=1e-4)


def test_dropout_zeroes_inputs_of_the_adapter_alone(lora_model: Any) -> None:
    layer = lora_model(dropout=0.5, targets=("*.attention.q",)).trunk.blocks[0].attention.q
    x = torch.randn(1, 2000, 32)
    base = torch.nn.functional.linear(x, layer.weight, layer.bias)
    still, noisy = ((layer.train(is_on)(x) - base).detach() for is_on in (False, True))
    assert not torch.allclose(still, noisy)
    assert float((noisy * still).sum() / (still * still).sum()) == pytest.approx(1, rel=0.1)


def test_rslora_scales_by_the_root_of_the_rank(tiny: Any) -> None:
    attach(model := tiny("llama"), LoraSettings(rank=4, alpha=6.0, rslora=True))
    assert {m.scale for m in adapted(model).values()} == {3.0}


@pytest.mark.parametrize(
    ("targets", "problem"),
    [
        (("*.gates",), r"'\*\.gates' matches no linear layer or table\n  fix: did you mean \*\.gate\?"),
        ((), "is empty"),
    ],
)
def test_targets_that_are_not_there_are_refused(targets: Any, problem: str, tiny: Any) -> None:
    with pytest.raises(ConfigError, match=problem):
        attach(tiny("llama"), LoraSettings(targets=targets))


def test_a_second_set_of_adapters_is_refused(lora_model: Any) -> None:
    with pytest.raises(ConfigError, match="has adapters already"):
        attach(lora_model(), SMALL)


@pytest.mark.parametrize("case", few(PEFT_TARGETS, "gpt2", "llama"))
@pytest.mark.parametrize("rslora", [False, True])
def test_a_folder_of_peft_gives_its_scores_and_gradients(case: str, rslora: bool, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the reference library is not installed")
    base = reference(case)
    base.save_pretrained(tmp_path / "base")
    theirs = peft.get_peft_model(base, peft.LoraConfig(
        r=4, lora_alpha=6, target_modules=PEFT_TARGETS[case], use_rslora=rslora, fan_in_fan_out="gpt2" in case
    )).eval()  # fmt: skip
    _stirred_theirs(theirs)
    theirs.save_pretrained(tmp_path / "adapter")
    ours = load_model(tmp_path / "base")
    load_adapter(ours, tmp_path / "adapter")
    expected = _their_scores(theirs, case)
    found = ask(ours, IDS)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    found.square().sum().backward()
    expected.square().sum().backward()
    _compare_gradients(ours, theirs)


def _stirred_theirs(model: Any) -> None:
    torch.manual_seed(2)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.normal_(std=0.2)


def _their_scores(model: Any, case: str) -> Tensor:
    more = {"decoder_input_ids": IDS} if case.startswith("t5") else {}
    found = model(input_ids=IDS, **more)
    return found.logits if hasattr(found, "logits") else found.last_hidden_state


def _compare_gradients(ours: Model, theirs: Any) -> None:
    """Compare the adapters' gradients where a layer of theirs is one of ours: their norms tell them apart."""
    mine = [p.grad.norm() for n, p in ours.named_parameters() if "lora_" in n]
    other = [p.grad.norm() for n, p in theirs.named_parameters() if "lora_" in n and p.grad is not None]
    if len(mine) == len(other):
        torch.testing.assert_close(
            torch.stack(sorted(mine)), torch.stack(sorted(other)), rtol=1e-3, atol=1e-3
        )
    else:  # three layers of ours share one of theirs: what goes into its A is their sum
        assert torch.stack(mine).square().sum() > 0


@pytest.mark.parametrize("case", few(PEFT_TARGETS, "gpt2", "llama"))
def test_peft_reads_a_folder_and_gives_the_same_scores(case: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the reference library is not installed")
    base = reference(case)
    base.save_pretrained(tmp_path / "base")
    ours = load_model(tmp_path / "base")
    attach(ours, LoraSettings(rank=3, alpha=5.0, rslora="bert" in case))
    _stirred(ours)
    save_adapter(ours, tmp_path / "adapter", base=str(tmp_path / "base"))
    expected = ask(ours, IDS)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    torch.testing.assert_close(_their_scores(theirs, case), expected, rtol=1e-4, atol=1e-4)
    again = load_model(tmp_path / "base")
    load_adapter(again, tmp_path / "adapter")
    torch.testing.assert_close(ask(again, IDS), expected, rtol=1e-4, atol=1e-4)


def test_adapters_of_a_model_that_no_family_file_can_say_come_back(
    tiny: Any, tokens: Any, tmp_path: Path
) -> None:
    attach(model := tiny("llama", mlp="plain"), LoraSettings(targets=("*.q", "*.up"), alpha=7.5))
    save_adapter(_stirred(model), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["lora_alpha"] == 7.5
    assert "trunk.blocks.0.attention.q" in config["target_modules"]
    load_adapter(again := tiny("llama", mlp="plain"), tmp_path)
    assert torch.equal(again(tokens(2, 9)), model(tokens(2, 9)))


def test_one_part_of_a_joint_matrix_can_be_adapted_alone(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the reference library is not installed")
    base = reference("gpt2")
    base.save_pretrained(tmp_path / "base")
    ours = load_model(tmp_path / "base")
    attach(ours, LoraSettings(rank=2, alpha=3.0, targets=("*.0.attention.k", "*.mlp.up")))
    _stirred(ours)
    save_adapter(ours, tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    torch.testing.assert_close(_their_scores(theirs, "gpt2"), ask(ours, IDS), rtol=1e-4, atol=1e-4)


def test_an_adapter_of_another_model_is_refused(lora_model: Any, tiny: Any, tmp_path: Path) -> None:
    save_adapter(lora_model(), tmp_path)
    with pytest.raises(CheckpointError, match="and the model's matrix"):
        load_adapter(tiny("llama", ffn_dim=48), tmp_path)
    with pytest.raises(CheckpointError, match="which this gpt2 model does not have"):
        load_adapter(tiny("gpt2"), tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"use_qalora": True}, "use_qalora = True is not supported"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"peft_type": "IA3"}, "'IA3' is not supported"),
        ({"bias": "all"}, "bias = 'all'"),
    ],
)
def test_adapters_with_other_arithmetic_are_refused(
    change: dict[str, Any], problem: str, lora_model: Any, tiny: Any, tmp_path: Path
) -> None:
    save_adapter(lora_model(), tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=problem):
        load_adapter(tiny("llama"), tmp_path)


@pytest.mark.parametrize("fault", ["half", "nan", "other", "missing"])
def test_broken_adapter_files_are_refused_by_name(
    fault: str, lora_model: Any, tiny: Any, tmp_path: Path
) -> None:
    save_adapter(lora_model(), tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    tensors = load_file(path)
    key = next(iter(tensors))
    changed = {
        "half": {k: t for k, t in tensors.items() if k != key},
        "nan": tensors | {key: tensors[key] * torch.nan},
        "other": tensors | {"base_model.model.x.weight": torch.ones(1)},
        "missing": tensors,
    }[fault]
    save_file(changed, path)
    if fault == "missing":
        path.unlink()
    problem = {
        "half": "lacks A or B",
        "nan": "not a number",
        "other": "has no place",
        "missing": "has no adapter",
    }
    with pytest.raises(CheckpointError, match=problem[fault]):
        load_adapter(tiny("llama"), tmp_path)
