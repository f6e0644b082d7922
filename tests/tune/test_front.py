"""Prompts and prefixes: equal scores with peft in both directions; packing, caches and copies hold."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from luban.errors import CheckpointError, ConfigError, DataError
from luban.models.cache import Cache
from luban.models.load import load_model
from luban.tune.front import attach_front, detach_front, first_table, front_of
from luban.tune.front_folder import load_front, save_front
from tests.models.conftest import ask
from tests.models.references import reference
from tests.tune.conftest import few
from tests.tune.test_lora import IDS

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*past_key_values.*"),
    pytest.mark.filterwarnings("ignore:.*Position ids are not supported.*"),
]
CASES = {
    "gpt2": "CAUSAL_LM", "llama": "CAUSAL_LM", "qwen2": "CAUSAL_LM",
    "bert classes": "SEQ_CLS", "llama classes": "SEQ_CLS",
}  # fmt: skip


def fronted(tiny: Any, family: str, kind: Any, n: int = 3, **changes: Any) -> Any:
    model = tiny(family, **changes)
    model.requires_grad_(False)
    attach_front(model, kind, first_table(model, kind, n, seed=1))
    return model


def config_of(peft: Any, kind: str, task: str) -> Any:
    cls = {"prompt": peft.PromptTuningConfig, "prefix": peft.PrefixTuningConfig}[kind]
    return cls(num_virtual_tokens=4, task_type=task)


@pytest.mark.parametrize("case", few(CASES, "llama", "bert classes"))
@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_a_front_of_peft_gives_its_scores_and_gradients(case: str, kind: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the reference library is not installed")
    base = reference(case)
    base.save_pretrained(tmp_path / "base")
    theirs = peft.get_peft_model(base, config_of(peft, kind, CASES[case])).eval()
    theirs.save_pretrained(tmp_path / "adapter")
    load_front(ours := load_model(tmp_path / "base"), tmp_path / "adapter")
    expected = theirs(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    expected = expected[:, -IDS.shape[1] :] if expected.ndim == 3 else expected
    found = ask(ours, IDS)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    found.square().sum().backward()
    expected.square().sum().backward()
    gradient = next(p.grad for n, p in theirs.named_parameters() if "prompt_encoder" in n)
    torch.testing.assert_close(ours.front.table.grad, gradient, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("case", few(CASES, "llama", "bert classes"))
@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_peft_reads_a_front_of_ours(case: str, kind: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the reference library is not installed")
    base = reference(case)
    base.save_pretrained(tmp_path / "base")
    ours = load_model(tmp_path / "base")
    attach_front(ours, kind, first_table(ours, kind, 3, seed=1))
    with torch.no_grad():
        ours.front.table.add_(torch.randn(ours.front.table.shape, generator=torch.Generator().manual_seed(3)))
    save_front(ours, tmp_path / "adapter", base=str(tmp_path / "base"))
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    expected = theirs(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    expected = expected[:, -IDS.shape[1] :] if expected.ndim == 3 else expected
    torch.testing.assert_close(ask(ours, IDS), expected, rtol=1e-4, atol=1e-4)
    load_front(again := load_model(tmp_path / "base"), tmp_path / "adapter")
    assert torch.equal(ask(again, IDS), ask(ours, IDS))


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_each_document_of_a_packed_row_reads_the_front_as_if_alone(
    kind: str, family: str, tiny: Any, tokens: Any
) -> None:
    model = fronted(tiny, family, kind)
    row = tokens(1, 11)
    documents = torch.tensor([[1, 1, 1, 1, 2, 2, 2, 2, 2, 0, 0]])
    packed = model(row, documents)
    torch.testing.assert_close(packed[:, :4], model(row[:, :4]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(packed[:, 4:9], model(row[:, 4:9]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_a_cache_goes_on_as_the_whole_row_is_read(kind: str, tiny: Any, tokens: Any) -> None:
    model, row = fronted(tiny, "llama", kind), tokens(2, 9)
    whole = model(row)
    cache = Cache(model.config, batch_size=2, max_len=12)
    parts = [model(row[:, :5], cache=cache), *(model(row[:, i : i + 1], cache=cache) for i in range(5, 9))]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-4)


def test_its_first_values_depend_on_the_seed_alone(tiny: Any) -> None:
    model = tiny("gpt2", dropout=0.5).train()
    a, b = (first_table(model, "prefix", 3, seed=1) for _ in range(2))
    assert torch.equal(a, b)
    assert model.trunk.training


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_fast_decoding_reads_the_front(kind: str, tiny: Any, tokens: Any) -> None:
    from luban.generate.twin import fast_twin

    model, row = fronted(tiny, "llama", kind), tokens(2, 6)
    with torch.inference_mode():
        twin = fast_twin(model)
        cache = Cache(model.config, batch_size=2, max_len=12)
        twin(row[:, :5], cache=cache)
        found = twin(row[:, 5:], cache=cache)
    torch.testing.assert_close(found, model(row)[:, 5:], rtol=1e-4, atol=1e-4)


def test_a_prompt_reads_the_text_of_a_model_that_sees_all_and_padding_does_not_matter(
    tiny: Any, tokens: Any
) -> None:
    model, row = fronted(tiny, "bert", "prompt"), tokens(2, 8)
    documents = torch.ones_like(row)
    documents[1, 5:] = 0
    found = model(row, documents)
    torch.testing.assert_close(found[1:, :5], model(row[1:, :5]), rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match="several documents"):
        model(row, documents.cumsum(1))


@pytest.mark.parametrize(("family", "kind"), [("llama", "prompt"), ("llama", "prefix"), ("bert", "prompt")])
def test_taken_off_the_model_is_what_it_was_and_copies_are_their_own(
    family: str, kind: str, tiny: Any, tokens: Any
) -> None:
    plain, row = tiny(family), tokens(2, 7)
    before = ask(plain, row)
    model = fronted(tiny, family, kind)
    scores = ask(model, row)
    assert not torch.allclose(scores, before)
    copied = copy.deepcopy(model)
    assert torch.equal(ask(copied, row), scores)
    with torch.no_grad():
        front_of(copied).table.zero_()  # type: ignore[union-attr]
    assert torch.equal(ask(model, row), scores)
    assert not torch.allclose(ask(copied, row), scores)
    detach_front(model)
    assert torch.equal(ask(model, row), before)
    assert model.config == plain.config


def test_where_nothing_can_stand_in_front_is_said(tiny: Any) -> None:
    for family in ("t5", "recurrent"):
        with pytest.raises(ConfigError, match="goes before the text of one Transformer"):
            attach_front(tiny(family), "prefix", torch.zeros(2, 32))
    with pytest.raises(ConfigError, match="leave no room in rows of 48"):
        attach_front(tiny("llama"), "prompt", torch.zeros(48, 32))
    with pytest.raises(DataError, match="max_len = 45"):
        fronted(tiny, "gpt2", "prompt")(torch.ones(1, 46, dtype=torch.long))


def test_a_front_of_another_width_is_refused(tiny: Any, tmp_path: Path) -> None:
    save_front(fronted(tiny, "llama", "prefix"), tmp_path, base="")
    with pytest.raises(CheckpointError, match="numbers a place"):
        load_front(tiny("llama", n_layers=3), tmp_path)
