"""Equal numbers with the Hugging Face library, both ways, at tiny random sizes."""

import copy

import pytest
import torch
from torch.testing import assert_close

from luban.models.config import HeadConfig
from luban.models.load import load_model, save_model

transformers = pytest.importorskip("transformers", reason="the reference library is not installed")

PAD = 3
GPT2 = {
    "vocab_size": 61, "n_positions": 32, "n_embd": 24, "n_layer": 2, "n_head": 3, "resid_pdrop": 0.0,
    "attn_pdrop": 0.0, "embd_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": PAD, "num_labels": 3,
}  # fmt: skip
LLAMA = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 32, "pad_token_id": PAD, "num_labels": 3,
    "rope_parameters": {"rope_type": "default", "rope_theta": 777.0},
}  # fmt: skip
BERT = {
    "vocab_size": 61, "hidden_size": 24, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 3,
    "max_position_embeddings": 32, "pad_token_id": PAD, "num_labels": 3,
}  # fmt: skip
CASES = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "gpt2 wider mlp, relu": ("GPT2LMHeadModel", "GPT2Config", GPT2 | {"n_inner": 50, "activation_function": "relu"}),
    "gpt2 classes": ("GPT2ForSequenceClassification", "GPT2Config", GPT2),
    "gpt2 trunk": ("GPT2Model", "GPT2Config", GPT2),
    "llama": ("LlamaForCausalLM", "LlamaConfig", LLAMA),
    "llama tied": ("LlamaForCausalLM", "LlamaConfig", LLAMA | {"tie_word_embeddings": True}),
    "llama one kv head, biases": ("LlamaForCausalLM", "LlamaConfig", LLAMA | {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True}),
    "llama heads wider than dim": ("LlamaForCausalLM", "LlamaConfig", LLAMA | {"head_dim": 16}),
    "llama classes": ("LlamaForSequenceClassification", "LlamaConfig", LLAMA),
    "llama trunk": ("LlamaModel", "LlamaConfig", LLAMA),
    "bert": ("BertForMaskedLM", "BertConfig", BERT),
    "bert classes": ("BertForSequenceClassification", "BertConfig", BERT),
    "bert trunk": ("BertModel", "BertConfig", BERT),
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet():
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def reference(case):
    cls, config, settings = CASES[case]
    torch.manual_seed(1)
    model = getattr(transformers, cls)(getattr(transformers, config)(**settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def batch():
    tokens = torch.randint(PAD + 1, 61, (3, 10), generator=torch.Generator().manual_seed(2))
    documents = torch.ones_like(tokens)
    documents[1, 7:], tokens[1, 7:] = 0, PAD
    return tokens, documents


def answers(model, tokens, documents):
    """Return theirs at what is no padding: what they say there nobody reads."""
    out = model(input_ids=tokens, attention_mask=documents)
    return said(out.logits if "logits" in out else out.last_hidden_state, documents)


def said(scores, documents):
    return scores[documents.bool()] if scores.ndim == 3 else scores


@pytest.mark.parametrize("case", CASES)
def test_we_read_theirs_with_equal_logits(case, tmp_path):
    theirs, (tokens, documents) = reference(case), batch()
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    assert_close(said(ours(tokens, documents), documents), answers(theirs, tokens, documents))
    assert ours.load_report.dropped == ours.load_report.new == ()


@pytest.mark.parametrize("case", CASES)
def test_they_read_ours_with_equal_logits_and_every_key(case, tmp_path):
    theirs, (tokens, documents) = reference(case), batch()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    save_model(ours, tmp_path / "ours")
    again, report = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values()), report
    assert_close(answers(again.eval(), tokens, documents), said(ours(tokens, documents), documents))
    assert copy.deepcopy(ours).config == ours.config


@pytest.mark.parametrize("case", ["gpt2", "llama", "bert", "llama classes"])
def test_gradients_are_equal(case, tmp_path):
    theirs, (tokens, documents) = reference(case), batch()
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    said(ours(tokens, documents), documents).square().mean().backward()
    answers(theirs, tokens, documents).square().mean().backward()
    assert_close(
        ours.stem.tokens.weight.grad, theirs.get_input_embeddings().weight.grad, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("case", "auto"),
    [
        ("gpt2", "AutoModelForCausalLM"),
        ("llama", "AutoModelForCausalLM"),
        ("bert", "AutoModelForMaskedLM"),
        ("bert classes", "AutoModelForSequenceClassification"),
        ("bert trunk", "AutoModel"),
    ],
)
def test_the_folder_names_its_own_class(case, auto, tmp_path):
    reference(case).save_pretrained(tmp_path / "theirs")
    save_model(load_model(tmp_path / "theirs"), tmp_path / "ours")
    assert type(getattr(transformers, auto).from_pretrained(tmp_path / "ours")) is type(reference(case))


def test_a_pretraining_checkpoint_lists_the_head_it_loses(tmp_path):
    model = transformers.BertForPreTraining(transformers.BertConfig(**BERT))
    model.save_pretrained(tmp_path)
    dropped = load_model(tmp_path).load_report.dropped
    assert {n.rpartition(".")[0] for n in dropped} == {"bert.pooler.dense", "cls.seq_relationship"}


def test_another_kind_of_head_can_be_replaced(tmp_path):
    transformers.BertForQuestionAnswering(transformers.BertConfig(**BERT)).save_pretrained(tmp_path)
    model = load_model(tmp_path, head=HeadConfig(kind="classes", n_classes=2, labels=("a", "b")))
    assert {"qa_outputs.weight", "qa_outputs.bias"} <= set(model.load_report.dropped)


def test_names_of_old_norms_are_understood(tmp_path):
    import safetensors.torch

    theirs, (tokens, documents) = reference("bert"), batch()
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    old = {
        k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
        for k, v in safetensors.torch.load_file(path).items()
    }
    safetensors.torch.save_file(old | {"bert.embeddings.position_ids": torch.arange(32)}, path)
    ours = load_model(tmp_path)
    assert_close(said(ours(tokens, documents), documents), answers(theirs, tokens, documents))
    assert ours.load_report.buffers == ("bert.embeddings.position_ids",)
