"""Tiny random models of the Hugging Face library, one for each kind that Luban reads and writes."""

from typing import Any

import torch
from torch import Tensor

PAD, VOCAB = 3, 61
IDS = {"vocab_size": VOCAB, "pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": 1, "num_labels": 3}
GPT2 = IDS | {
    "n_positions": 32, "n_embd": 24, "n_layer": 2, "n_head": 3, "resid_pdrop": 0.0, "attn_pdrop": 0.0,
    "embd_pdrop": 0.0,
}  # fmt: skip
LLAMA = IDS | {
    "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 32,
    "rope_parameters": {"rope_type": "default", "rope_theta": 777.0},
}  # fmt: skip
BERT = IDS | {
    "hidden_size": 24, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 3,
    "max_position_embeddings": 36, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
T5 = IDS | {
    "d_model": 24, "d_kv": 6, "d_ff": 44, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 3,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 9, "dropout_rate": 0.0,
    "decoder_start_token_id": PAD,
}  # fmt: skip
MARIAN = IDS | {
    "d_model": 24, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 3,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 44, "decoder_ffn_dim": 36, "dropout": 0.0,
    "max_position_embeddings": 40, "decoder_start_token_id": PAD, "forced_eos_token_id": None,
}  # fmt: skip
WHISPER = MARIAN | {
    "num_mel_bins": 5, "max_source_positions": 8, "max_target_positions": 32,
    "suppress_tokens": None, "begin_suppress_tokens": None,
}  # fmt: skip


def _rope(kind: str, **more: Any) -> dict[str, Any]:
    return LLAMA | {"rope_parameters": {"rope_type": kind, "rope_theta": 777.0, **more}}


LLAMA3 = _rope(
    "llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8
)
YARN = _rope("yarn", factor=4.0, original_max_position_embeddings=8)
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "gpt2 untied": ("GPT2LMHeadModel", "GPT2Config", GPT2 | {"tie_word_embeddings": False}),
    "gpt2 wider mlp, relu": ("GPT2LMHeadModel", "GPT2Config", GPT2 | {"n_inner": 50, "activation_function": "relu"}),
    "gpt2 classes": ("GPT2ForSequenceClassification", "GPT2Config", GPT2),
    "gpt2 tags": ("GPT2ForTokenClassification", "GPT2Config", GPT2 | {"classifier_dropout": 0.0}),
    "gpt2 trunk": ("GPT2Model", "GPT2Config", GPT2),
    "llama": ("LlamaForCausalLM", "LlamaConfig", LLAMA),
    "llama tied": ("LlamaForCausalLM", "LlamaConfig", LLAMA | {"tie_word_embeddings": True}),
    "llama one kv head, biases": ("LlamaForCausalLM", "LlamaConfig", LLAMA | {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True}),
    "llama heads wider than dim": ("LlamaForCausalLM", "LlamaConfig", LLAMA | {"head_dim": 16}),
    "llama, 5 heads": ("LlamaForCausalLM", "LlamaConfig", LLAMA | {"hidden_size": 30, "num_attention_heads": 5, "num_key_value_heads": 5}),
    "llama partial rotary": ("LlamaForCausalLM", "LlamaConfig", _rope("default", partial_rotary_factor=0.5)),
    "llama linear": ("LlamaForCausalLM", "LlamaConfig", _rope("linear", factor=2.5)),
    "llama dynamic": ("LlamaForCausalLM", "LlamaConfig", _rope("dynamic", factor=2.0) | {"max_position_embeddings": 6}),
    "llama llama3": ("LlamaForCausalLM", "LlamaConfig", LLAMA3),
    "llama yarn": ("LlamaForCausalLM", "LlamaConfig", YARN),
    "llama yarn, sharpness given": ("LlamaForCausalLM", "LlamaConfig", _rope("yarn", factor=4.0, original_max_position_embeddings=8, mscale=0.7, mscale_all_dim=1.3, beta_fast=3.0, truncate=False)),
    "llama yarn, whole features": ("LlamaForCausalLM", "LlamaConfig", _rope("yarn", factor=4.0, original_max_position_embeddings=64) | {"head_dim": 16}),
    "llama yarn, part features": ("LlamaForCausalLM", "LlamaConfig", _rope("yarn", factor=4.0, original_max_position_embeddings=64, truncate=False) | {"head_dim": 16}),
    "llama yarn, length outside": ("LlamaForCausalLM", "LlamaConfig", _rope("yarn", factor=4.0) | {"original_max_position_embeddings": 8}),
    "llama large eps": ("LlamaForCausalLM", "LlamaConfig", LLAMA | {"rms_norm_eps": 0.1}),
    "llama classes": ("LlamaForSequenceClassification", "LlamaConfig", LLAMA),
    "llama tags": ("LlamaForTokenClassification", "LlamaConfig", LLAMA),
    "llama trunk": ("LlamaModel", "LlamaConfig", LLAMA),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", LLAMA),
    "qwen2 yarn, tied": ("Qwen2ForCausalLM", "Qwen2Config", YARN | {"tie_word_embeddings": True}),
    "qwen2 classes": ("Qwen2ForSequenceClassification", "Qwen2Config", LLAMA),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", LLAMA | {"head_dim": 12}),
    "qwen3 biases": ("Qwen3ForCausalLM", "Qwen3Config", LLAMA | {"attention_bias": True}),
    "qwen3 large eps": ("Qwen3ForCausalLM", "Qwen3Config", LLAMA | {"rms_norm_eps": 0.1}),
    "qwen3 trunk": ("Qwen3Model", "Qwen3Config", LLAMA),
    "bert": ("BertForMaskedLM", "BertConfig", BERT),
    "bert untied": ("BertForMaskedLM", "BertConfig", BERT | {"tie_word_embeddings": False}),
    "bert classes": ("BertForSequenceClassification", "BertConfig", BERT),
    "bert tags": ("BertForTokenClassification", "BertConfig", BERT),
    "bert spans": ("BertForQuestionAnswering", "BertConfig", BERT | {"num_labels": 2}),
    "bert trunk": ("BertModel", "BertConfig", BERT),
    "roberta": ("RobertaForMaskedLM", "RobertaConfig", BERT | {"type_vocab_size": 1, "hidden_act": "relu"}),
    "roberta untied": ("RobertaForMaskedLM", "RobertaConfig", BERT | {"tie_word_embeddings": False}),
    "roberta classes": ("RobertaForSequenceClassification", "RobertaConfig", BERT | {"type_vocab_size": 1}),
    "roberta tags": ("RobertaForTokenClassification", "RobertaConfig", BERT),
    "roberta spans": ("RobertaForQuestionAnswering", "RobertaConfig", BERT | {"num_labels": 2}),
    "roberta trunk": ("RobertaModel", "RobertaConfig", BERT),
    "t5": ("T5ForConditionalGeneration", "T5Config", T5),
    "t5 1.1": ("T5ForConditionalGeneration", "T5Config", T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "t5 gated silu": ("T5ForConditionalGeneration", "T5Config", T5 | {"feed_forward_proj": "gated-silu"}),
    "t5 trunk": ("T5Model", "T5Config", T5),
    "original": ("MarianMTModel", "MarianConfig", MARIAN),
    "original as opus-mt": ("MarianMTModel", "MarianConfig", MARIAN | {"activation_function": "swish", "scale_embedding": True}),
    "original trunk": ("MarianModel", "MarianConfig", MARIAN),
    "whisper": ("WhisperForConditionalGeneration", "WhisperConfig", WHISPER),
    "whisper trunk": ("WhisperModel", "WhisperConfig", WHISPER),
}  # fmt: skip
READS_SOURCE = ("t5", "original", "whisper")


def reference(case: str) -> Any:
    """Return a random model whose every weight matters."""
    import transformers

    cls, config, settings = CASES[case]
    torch.manual_seed(1)
    model = getattr(transformers, cls)(getattr(transformers, config)(**settings)).eval()
    fixed = [
        b
        for name, b in model.named_parameters()
        if name.endswith("embed_positions.weight") and not b.requires_grad
    ]
    with torch.no_grad():
        for parameter in model.parameters():
            if not any(parameter is f for f in fixed):
                parameter.normal_(std=0.3)
        for name, buffer in model.named_buffers():
            if name == "final_logits_bias":
                buffer.normal_()
    return model


def batch(case: str) -> dict[str, Tensor]:
    """Return our arguments: rows of unequal length, and a source where the model reads one."""
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(PAD + 1, VOCAB, (3, 10), generator=generator)
    documents = torch.ones_like(tokens)
    documents[1, 7:], tokens[1, 7:] = 0, PAD
    found = {"tokens": tokens, "documents": documents}
    if case.startswith("bert"):
        found["segments"] = (torch.arange(10) > 4).long().expand(3, -1)
    elif case.startswith("whisper"):
        found["source"] = torch.randn(3, 5, 16, generator=generator)
    elif case.startswith(READS_SOURCE):
        source = torch.randint(PAD + 1, VOCAB, (3, 12), generator=generator)
        whose = torch.ones_like(source)
        whose[2, 5:], source[2, 5:] = 0, PAD
        found |= {"source": source, "source_documents": whose}
    return found


def their_answer(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Return their scores at what is no padding: what they say there nobody reads."""
    return said(_theirs(model, batch), batch["documents"])


def our_answer(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Return our scores at the same places."""
    return said(model(**batch), batch["documents"])


def said(scores: Tensor, documents: Tensor) -> Tensor:
    return scores[documents.bool()] if scores.ndim == 3 else scores


def _theirs(model: Any, batch: dict[str, Tensor]) -> Tensor:
    tokens, documents, source = batch["tokens"], batch["documents"], batch.get("source")
    if source is None:
        more = {"token_type_ids": batch["segments"]} if "segments" in batch else {}
        out = model(input_ids=tokens, attention_mask=documents, **more)
    elif source.is_floating_point():
        out = model(input_features=source, decoder_input_ids=tokens, decoder_attention_mask=documents)
    else:
        out = model(
            input_ids=source,
            attention_mask=batch["source_documents"],
            decoder_input_ids=tokens,
            decoder_attention_mask=documents,
        )
    if "start_logits" in out:
        return torch.stack([out.start_logits, out.end_logits], dim=-1)
    return out.logits if "logits" in out else out.last_hidden_state
