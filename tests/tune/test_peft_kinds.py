"""Kinds of adapters beyond plain LoRA: equal scores with peft in both directions, and exact merging."""

from pathlib import Path
from typing import Any

import pytest
import torch

from luban.errors import CheckpointError
from luban.models.config import HeadConfig
from luban.models.load import load_model, save_model
from luban.tune.lora import adapted, attach, detach, merge, unmerge
from luban.tune.low_rank import DoraLinear, LoraEmbedding
from luban.tune.peft_folder import load_adapter, save_adapter
from luban.tune.settings import LoraSettings
from tests.models.conftest import ask
from tests.models.references import reference
from tests.tune.conftest import few
from tests.tune.test_lora import IDS, PEFT_TARGETS

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
TABLES = {"gpt2": "wte", "llama": "embed_tokens", "bert classes": "word_embeddings"}


def stirred(model: Any) -> Any:
    """Give every adapter and new head other values, so that it shows."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "magnitude" in name:
                p.mul_(1 + 0.3 * torch.rand_like(p))
            elif "lora_" in name or "classifier" in name or "score" in name or "head.classes" in name:
                p.normal_(std=0.2)
    return model


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", few(("gpt2", "llama", "bert"), "gpt2"))
def test_dora_of_peft_gives_its_scores_and_gradients(case: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the reference library is not installed")
    base = reference(case)
    base.save_pretrained(tmp_path / "base")
    theirs = peft.get_peft_model(base, peft.LoraConfig(
        r=4, lora_alpha=6, target_modules=PEFT_TARGETS[case], use_dora=True, fan_in_fan_out="gpt2" in case
    )).eval()  # fmt: skip
    stirred(theirs).save_pretrained(tmp_path / "adapter")
    load_adapter(ours := load_model(tmp_path / "base"), tmp_path / "adapter")
    assert all(isinstance(m, DoraLinear) for m in adapted(ours).values())
    found, expected = ask(ours, IDS), theirs(input_ids=IDS).logits
    close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    if case != "gpt2":  # three of our layers are one of theirs
        mine, other = (
            torch.cat([p.grad.flatten() for n, p in m.named_parameters() if "magnitude" in n]).sort()[0]
            for m in (ours, theirs)
        )
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("case", few(("gpt2", "llama", "bert classes"), "bert classes"))
@pytest.mark.parametrize("dora", [False, True])
def test_peft_reads_dora_tables_and_heads_of_ours(case: str, dora: bool, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the reference library is not installed")
    base = reference(case)
    base.save_pretrained(tmp_path / "base")
    ours = load_model(tmp_path / "base")
    targets = ("*blocks.*",) if dora else ("*blocks.*", "stem.tokens")
    linear = {"linear": DoraLinear} if dora else {}
    ranks = {"*.mlp.*": 2}
    attach(ours, LoraSettings(rank=3, alpha=5.0, targets=targets, ranks=ranks), **linear)
    save_adapter(stirred(ours).eval(), tmp_path / "adapter", base=str(tmp_path / "base"))
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    close(theirs(input_ids=IDS).logits, ask(ours, IDS))
    load_adapter(again := load_model(tmp_path / "base"), tmp_path / "adapter")
    assert torch.equal(ask(again, IDS), ask(ours, IDS))


@pytest.mark.parametrize("case", few(TABLES, "llama"))
def test_a_table_adapted_by_peft_gives_its_scores(case: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the reference library is not installed")
    base = reference(case)
    base.save_pretrained(tmp_path / "base")
    more = {"task_type": "SEQ_CLS"} if "classes" in case else {}
    config = peft.LoraConfig(r=4, target_modules=[TABLES[case]], **more)
    theirs = stirred(peft.get_peft_model(base, config).eval())
    theirs.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)  # the base's rows too
    load_adapter(ours := load_model(tmp_path / "base"), tmp_path / "adapter")
    close(ask(ours, IDS), theirs(input_ids=IDS).logits)
    with torch.no_grad():
        (other := load_model(tmp_path / "base")).stem.tokens.weight[5] += 0.1
    with pytest.raises(CheckpointError, match="made for another model|share one matrix"):
        load_adapter(other, tmp_path / "adapter")


def test_a_head_that_peft_trained_is_put_on_with_its_adapter(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the reference library is not installed")
    base = reference("llama classes")
    base.save_pretrained(tmp_path / "base")
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="SEQ_CLS")
    theirs = stirred(peft.get_peft_model(base, config).eval())
    theirs.save_pretrained(tmp_path / "adapter")
    head = HeadConfig(kind="classes", n_classes=3, labels=("a", "b", "c"), pool="last")
    ours = load_model(tmp_path / "base", head=head)
    load_adapter(ours, tmp_path / "adapter")
    close(ask(ours, IDS), theirs(input_ids=IDS).logits)


@pytest.mark.parametrize("tied", [False, True])
def test_merged_dora_and_tables_score_as_before_and_go_back_bit_for_bit(
    tied: bool, tiny: Any, tokens: Any, tmp_path: Path
) -> None:
    model = tiny("llama", tied=tied)
    attach(model, LoraSettings(rank=3, targets=("*blocks.*", "stem.tokens")), linear=DoraLinear)
    stirred(model)
    assert isinstance(model.stem.tokens, LoraEmbedding)
    scores, weights = ask(model, tokens(2, 9)), {n: m.weight.clone() for n, m in adapted(model).items()}
    merge(model)
    close(ask(model, tokens(2, 9)), scores)
    unmerge(model)
    assert model.config.head.tied is tied
    assert all(torch.equal(m.weight, weights[n]) for n, m in adapted(model).items())
    assert torch.equal(ask(model, tokens(2, 9)), scores)
    merge(model)
    detach(model)
    save_model(model, tmp_path)
    close(ask(load_model(tmp_path), tokens(2, 9)), scores)


def test_new_dora_computes_what_the_model_did(tiny: Any, tokens: Any) -> None:
    model = tiny("qwen2")
    before = ask(model, tokens(2, 9))
    attach(model, LoraSettings(rank=2), linear=DoraLinear)
    close(ask(model, tokens(2, 9)), before)
    model.train()
    assert {n.rpartition(".")[2] for n, p in model.named_parameters() if p.requires_grad} == {
        "lora_a", "lora_b", "magnitude",
    }  # fmt: skip


def test_an_adapter_is_not_put_on_a_model_of_the_same_shape_with_other_weights(
    tiny: Any, tmp_path: Path
) -> None:
    attach(model := tiny("llama"), LoraSettings())
    save_adapter(model, tmp_path, base="models/first")
    other = tiny("llama")
    with torch.no_grad():
        other.trunk.blocks[0].attention.q.weight[0, 0] += 1e-3
    with pytest.raises(CheckpointError, match="was made for models/first: the first matrix"):
        load_adapter(other, tmp_path)
    load_adapter(tiny("llama"), tmp_path)


def test_a_head_without_a_place_and_lengths_of_a_table_are_refused(tiny: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    attach(model := tiny("llama"), LoraSettings(targets=("stem.tokens",)))
    save_adapter(model, tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"base_model.model.score.weight": torch.ones(3, 32)}, path)
    with pytest.raises(CheckpointError, match=r"score.weight, for which this llama model with a tokens head"):
        load_adapter(tiny("llama"), tmp_path)
    key = next(k for k in tensors if "embedding_A" in k).replace("embedding_A", "magnitude_vector")
    save_file(tensors | {key: torch.ones(32)}, path)
    with pytest.raises(CheckpointError, match="of a kind that is not supported"):
        load_adapter(tiny("llama"), tmp_path)


def test_an_embedding_of_its_own_is_refused_where_the_head_shares_it(tiny: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    attach(model := tiny("llama", tied=True), LoraSettings())
    save_adapter(model, tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    save_file(load_file(path) | {"base_model.model.model.embed_tokens.weight": torch.ones(64, 32)}, path)
    with pytest.raises(CheckpointError, match="share one matrix"):
        load_adapter(tiny("llama", tied=True), tmp_path)
