"""A model in a GGUF file, as the config.json and the float32 tensors of the Hugging Face folder it was.

Sources: the conversion script of llama.cpp for names and the order of rows; its dequantisation is
that of the package `gguf`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from luban.binary import AGAIN
from luban.errors import CheckpointError, MissingExtra
from luban.gguf import Gguf, StoredTensor
from luban.models.family import Json

PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
STRETCH = "rope_freqs.weight"
"""How many times slower each pair of features turns than it would without Llama 3's stretching."""
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""What every published model with that stretching has; the file holds only its outcome."""


def is_gguf(path: Path) -> bool:
    """Whether a path names a GGUF file rather than a model folder."""
    return path.suffix == ".gguf"


def read_gguf_config(path: Path) -> Json:
    """Return what config.json would say."""
    file = Gguf(path)
    name = _architecture(file)
    heads, dim = file.need(f"{name}.attention.head_count"), file.need(f"{name}.embedding_length")
    tensors = file.tensors()
    if "token_embd.weight" not in tensors:
        raise CheckpointError(f"{path} lacks token_embd.weight", fix=AGAIN)
    n_rows = tensors["token_embd.weight"].shape[0]
    tokens = file.get("tokenizer.ggml.tokens", [], list)
    if len(tokens) > n_rows:
        raise CheckpointError(
            f"{path} has {len(tokens)} tokens, but token_embd.weight only {n_rows} rows", fix=AGAIN
        )
    head_dim = file.get(f"{name}.attention.key_length", dim // max(1, heads))
    _refuse(file, name, head_dim)
    return {
        "architectures": [ARCHITECTURES[name]],
        "model_type": name,
        "dtype": "float32",
        "vocab_size": n_rows,
        "hidden_size": dim,
        "num_hidden_layers": file.need(f"{name}.block_count"),
        "intermediate_size": file.need(f"{name}.feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": file.get(f"{name}.attention.head_count_kv", heads),
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": file.need(f"{name}.context_length"),
        "rms_norm_eps": file.need(f"{name}.attention.layer_norm_rms_epsilon", float),
        "rope_parameters": _rope(file, name, head_dim, tensors.get(STRETCH)),
        "attention_bias": "blk.0.attn_output.bias" in tensors,
        "tie_word_embeddings": "output.weight" not in tensors,
        "bos_token_id": file.get("tokenizer.ggml.bos_token_id", None),
        "eos_token_id": file.get("tokenizer.ggml.eos_token_id", None),
        "pad_token_id": file.get("tokenizer.ggml.padding_token_id", None),
    }


def read_gguf(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor by its Hugging Face name, in float32."""
    file = Gguf(path)
    name = _architecture(file)
    heads = file.need(f"{name}.attention.head_count")
    turned = {"attn_q": heads, "attn_k": file.get(f"{name}.attention.head_count_kv", heads)}
    for stored in file.tensors().values():
        if stored.name == STRETCH:
            continue
        tensor = _dequantised(stored)
        part = stored.name.split(".")[-2]
        if name == "llama" and part in turned:
            tensor = _halves(tensor, turned[part], stored.name, path)
        yield _theirs(stored.name, path), tensor


def _architecture(file: Gguf) -> str:
    name = file.need("general.architecture", str)
    if name not in ARCHITECTURES:
        raise CheckpointError(
            f"{file.path}: the architecture {name!r} is not supported",
            fix=f"supported are: {', '.join(ARCHITECTURES)}",
        )
    return name


def _refuse(file: Gguf, name: str, head_dim: int) -> None:
    """Stop at what would change the numbers and is not followed."""
    usual = {
        "rope.dimension_count": head_dim,
        "attention.value_length": head_dim,
        "attention.sliding_window": 0,
        "expert_count": 0,
    }
    for key, value in usual.items():
        found = file.get(f"{name}.{key}", value)
        if found not in (value, 0):
            raise CheckpointError(
                f"{file.path}: {name}.{key} = {found} is not supported",
                fix=f"use a model where it is {value}",
            )


def _theirs(name: str, path: Path) -> str:
    found = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
    if not found or found[2] not in NAMES:
        raise CheckpointError(
            f"{path} holds the tensor {name}, for which there is no place",
            fix=f"use a plain model of {', '.join(ARCHITECTURES)}",
        )
    layer = "" if found[1] is None else f"model.layers.{found[1]}."
    return f"{layer}{NAMES[found[2]]}.{found[3]}"


def _halves(tensor: Tensor, n_heads: int, name: str, path: Path) -> Tensor:
    """Undo the order of rows in which features 2i and 2i + 1 turn together: here i and i + D/2 do."""
    if n_heads < 1 or tensor.shape[0] % (2 * n_heads):
        raise CheckpointError(
            f"{path}: {name} has {tensor.shape[0]} rows, which {n_heads} heads do not share evenly", fix=AGAIN
        )
    pairs = tensor.reshape(n_heads, -1, 2, *tensor.shape[1:])
    return pairs.transpose(1, 2).reshape(tensor.shape)


def _dequantised(stored: StoredTensor) -> Tensor:
    data = np.frombuffer(stored.data, np.uint8)
    if stored.quantisation in PLAIN:
        kind = PLAIN[stored.quantisation]
        return torch.from_numpy(data.copy()).view(kind).float().reshape(stored.shape)
    try:
        import gguf
    except ModuleNotFoundError as e:
        raise MissingExtra("gguf", "gguf") from e
    rows = data.reshape(math.prod(stored.shape[:-1]), -1)
    with np.errstate(all="ignore"):  # a scale that is no number is found, and named, after this
        numbers = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType(stored.kind))
    return torch.from_numpy(numbers).reshape(stored.shape)


def _rope(file: Gguf, name: str, head_dim: int, stretch: StoredTensor | None) -> Json:
    theta = file.get(f"{name}.rope.freq_base", 10_000.0, float)
    kind = file.get(f"{name}.rope.scaling.type", "none", str)
    if stretch is not None:
        return {"rope_theta": theta, **_llama3(file.path, theta, head_dim, _dequantised(stretch))}
    if kind == "none":
        return {"rope_type": "default", "rope_theta": theta}
    factor = file.need(f"{name}.rope.scaling.factor", float)
    found: Json = {"rope_type": kind, "rope_theta": theta, "factor": factor}
    original = file.get(f"{name}.rope.scaling.original_context_length", None)
    return found if original is None else found | {"original_max_position_embeddings": original}


def _llama3(path: Path, theta: float, head_dim: int, stretch: Tensor) -> Json:
    """Return the settings of Llama 3's stretching (arXiv:2407.21783) that give the file's numbers."""
    factor = float(stretch.max())
    waves = 2 * math.pi * theta ** (torch.arange(0, head_dim, 2) / head_dim)
    low, high, longest = LLAMA3.values()
    share = ((longest / waves - low) / (high - low)).clamp(0, 1)
    expected = 1 / ((1 - share) / factor + share)
    if stretch.shape != expected.shape or not torch.allclose(stretch, expected, rtol=1e-3):
        raise CheckpointError(
            f"{path}: {STRETCH} stretches rotary positions in a way that is not supported",
            fix=f"use a model with Llama 3's stretching: {LLAMA3}",
        )
    return {"rope_type": "llama3", "factor": factor, **LLAMA3}
