"""Small GGUF files, as llama.cpp's conversion writes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers

gguf = pytest.importorskip("gguf", reason="the package that writes GGUF files is not installed")

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = ["a b", "ab c", "Ġ a", "Ġa b", "1 2"]
TOKENS = ["<|end|>", "<|start|>", *ALPHABET, *(m.replace(" ", "") for m in MERGES), "<think>"]
TYPES = [3, 3, *(1 for _ in TOKENS[2:-1]), 4]
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "rope": "rope_freqs",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_tokenizer(writer: Any, cut: str = "gpt-2", **changes: Any) -> None:
    """Add a vocabulary of bytes and five merges."""
    writer.add_tokenizer_model(changes.get("model", "gpt2"))
    writer.add_tokenizer_pre(cut)
    writer.add_token_list(changes.get("tokens", TOKENS))
    writer.add_token_types(changes.get("types", TYPES))
    writer.add_token_merges(changes.get("merges", MERGES))
    writer.add_bos_token_id(changes.get("bos", 1))
    writer.add_eos_token_id(0)
    if "add_bos" in changes:
        writer.add_add_bos_token(changes["add_bos"])
    writer.add_chat_template("{{ messages[0].content }}")


def write_model(path: Path, model: Any, kind: Any = None, extra: dict[str, Any] | None = None) -> Path:
    """Write a model of transformers; `kind` is the quantisation of its matrices."""
    config = model.config
    writer = gguf.GGUFWriter(path, config.model_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if config.head_dim * config.num_attention_heads != config.hidden_size:
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    for key, value in (extra or {}).items():
        add = {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}[type(value)]
        add(f"{config.model_type}.{key}", value)
    write_tokenizer(writer)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight" or not config.tie_word_embeddings:
            add_tensor(writer, theirs(name), in_pairs(name, tensor, config).numpy(), kind)
    return finish(writer)


def add_tensor(writer: Any, name: str, values: np.ndarray, kind: Any) -> None:
    """Add a tensor; matrices in a quantisation."""
    if kind is None or values.ndim == 1:
        writer.add_tensor(name, np.ascontiguousarray(values))
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)


def finish(writer: Any) -> Path:
    """Write the file and return its path."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(writer.path)


def theirs(name: str) -> str:
    """Return llama.cpp's name of a tensor."""
    stem, _, end = name.rpartition(".")
    if stem.startswith("model.layers."):
        _, _, i, rest = stem.split(".", 3)
        return f"blk.{i}.{NAMES[rest]}.{end}"
    return f"{NAMES[stem]}.{end}"


def in_pairs(name: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """Put rows in the order in which neighbours turn together, as llama.cpp stores Llama's."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    part = name.split(".")[-2]
    if config.model_type != "llama" or part not in heads:
        return tensor
    width = tensor.shape[0] // heads[part]
    order = [
        h * width + i + j * width // 2 for h in range(heads[part]) for i in range(width // 2) for j in (0, 1)
    ]
    return tensor[order]
