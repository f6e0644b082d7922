"""A Whisper model of CTranslate2 (`model.bin`), as the float32 tensors of the Hugging Face model it was.

Source: the serialisation of CTranslate2's model specifications, version 6.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from luban.binary import AGAIN, BinaryReader
from luban.errors import CheckpointError

VERSION, SPECIFICATION = 6, "WhisperSpec"
TYPES: dict[int, tuple[str, type[np.generic]]] = {
    0: ("float32", np.float32),
    1: ("int8", np.int8),
    2: ("int16", np.int16),
    3: ("int32", np.int32),
    4: ("float16", np.float16),
}
PLACES = {
    "embeddings": ("embed_tokens",),
    "position_encodings": ("embed_positions",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
    "ffn/layer_norm": ("final_layer_norm",),
    "conv1": ("conv1",),
    "conv2": ("conv2",),
    "layer_norm": ("layer_norm",),
}
"""Their module → those whose rows are stacked in it."""
ENDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "encodings": "weight"}


def read_ctranslate2(path: Path) -> dict[str, Tensor]:
    """Return the weights by their names in `WhisperForConditionalGeneration`, whose scores are tied."""
    reader = BinaryReader(path)
    version = reader.number("I", "the version")
    kind = _text(reader, "the specification") if version == VERSION else ""
    if kind != SPECIFICATION:
        raise CheckpointError(
            f"{path}: version {version}, specification {kind!r} is not supported",
            fix=f"use a model.bin of version {VERSION} with a {SPECIFICATION}",
        )
    reader.number("I", "the revision")
    weights: dict[str, Tensor] = {}
    for _ in range(reader.count("I", "the number of variables", each=8)):
        name, tensor = _variable(reader)
        if tensor.ndim == 0:
            continue  # a setting, such as the number of heads
        if not tensor.is_floating_point():
            raise CheckpointError(
                f"{path}: {name} is stored as {tensor.dtype}, which is not supported",
                fix="convert the model with --quantization float16 or float32",
            )
        weights |= _theirs(name, tensor.float(), path)
    return weights


def _variable(reader: BinaryReader) -> tuple[str, Tensor]:
    name = _text(reader, "the name of a variable")
    rank = int(reader.number("B", f"the rank of {name}"))
    shape = tuple(int(n) for n in reader.numbers("I", rank, f"the shape of {name}"))
    code = int(reader.number("B", f"the type of {name}"))
    n_bytes = reader.count("I", f"the bytes of {name}", each=1)
    if code not in TYPES or math.prod(shape) * np.dtype(TYPES[code][1]).itemsize != n_bytes:
        kind = TYPES[code][0] if code in TYPES else f"type {code}"
        raise CheckpointError(f"{reader.path}: {name} {shape} of {kind} cannot be {n_bytes} bytes", fix=AGAIN)
    data = np.frombuffer(reader.take(n_bytes, name), TYPES[code][1])
    return name, torch.from_numpy(data.copy()).reshape(shape)


def _text(reader: BinaryReader, what: str) -> str:
    return reader.text("H", what).rstrip("\0")


def _theirs(name: str, tensor: Tensor, path: Path) -> dict[str, Tensor]:
    found = re.fullmatch(r"(encoder|decoder)/(?:layer_(\d+)/)?(\w+(?:/\w+)?)/(\w+)", name)
    if not found or found[3] not in PLACES or found[4] not in ENDS:
        raise CheckpointError(f"{path} holds {name}, for which there is no place", fix="use a Whisper model")
    places, layer = PLACES[found[3]], "" if found[2] is None else f"layers.{found[2]}."
    if tensor.shape[0] % len(places):
        raise CheckpointError(
            f"{path}: {name} {tuple(tensor.shape)} does not hold {len(places)} parts", fix=AGAIN
        )
    parts = zip(places, tensor.chunk(len(places)), strict=True)
    return {
        f"model.{found[1]}.{layer}{place}.{ENDS[found[4]]}": part.clone()
        for place, part in parts
        if not (place.endswith("k_proj") and found[4] == "bias")  # Whisper's keys have none: stored as 0
    }
