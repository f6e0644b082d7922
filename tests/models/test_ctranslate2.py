import struct

import numpy as np
import pytest
import torch

from luban.errors import CheckpointError
from luban.models.ctranslate2 import read_ctranslate2

transformers = pytest.importorskip("transformers", reason="the reference library is not installed")

STACKS = {
    "self_attention/linear_0": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "self_attention/linear_1": ["self_attn.out_proj"],
    "self_attention/layer_norm": ["self_attn_layer_norm"],
    "attention/linear_0": ["encoder_attn.q_proj"],
    "attention/linear_1": ["encoder_attn.k_proj", "encoder_attn.v_proj"],
    "attention/linear_2": ["encoder_attn.out_proj"],
    "attention/layer_norm": ["encoder_attn_layer_norm"],
    "ffn/linear_0": ["fc1"],
    "ffn/linear_1": ["fc2"],
    "ffn/layer_norm": ["final_layer_norm"],
}
WHOLE = {
    "decoder/embeddings": "decoder.embed_tokens",
    "decoder/position_encodings": "decoder.embed_positions",
    "encoder/position_encodings": "encoder.embed_positions",
    "encoder/conv1": "encoder.conv1",
    "encoder/conv2": "encoder.conv2",
    "encoder/layer_norm": "encoder.layer_norm",
    "decoder/layer_norm": "decoder.layer_norm",
}


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(1)
    config = transformers.WhisperConfig(
        vocab_size=40,
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        max_source_positions=10,
        max_target_positions=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    model = transformers.WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape).half())
    return model.state_dict()


def text(value):
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def variable(name, values, code):
    head = text(name) + struct.pack(f"<B{values.ndim}IB", values.ndim, *values.shape, code)
    return head + struct.pack("<I", values.nbytes) + values.tobytes()


def whole_file(variables, count=None, version=6, kind="WhisperSpec"):
    head = (
        struct.pack("<I", version)
        + text(kind)
        + struct.pack("<II", 3, len(variables) if count is None else count)
    )
    return head + b"".join(variables) + struct.pack("<I", 0)


def stacked(state, places, end, width):
    """One tensor of their parts, with the zeros that stand for the bias keys do not have."""
    missing = torch.zeros(width)
    return torch.cat([state.get(f"{place}.{end}", missing) for place in places]).half().numpy()


def variables(state):
    """Every tensor of a Whisper model as CTranslate2 stores it."""
    made = [
        variable("encoder/num_heads", np.array(2, np.int16), 2),
        variable("decoder/pre_norm", np.array(1, np.int8), 1),
    ]
    for theirs, ours in WHOLE.items():
        for end in ("weight", "bias"):
            word = {"weight": "gamma", "bias": "beta"}[end] if "norm" in theirs else end
            word = "encodings" if "position" in theirs else word
            if f"model.{ours}.{end}" in state:
                made.append(variable(f"{theirs}/{word}", state[f"model.{ours}.{end}"].half().numpy(), 4))
    for stack, n_layers in (("encoder", 2), ("decoder", 1)):
        for i in range(n_layers):
            for theirs, ours in STACKS.items():
                if stack == "encoder" and theirs.startswith("attention"):
                    continue
                places = [f"model.{stack}.layers.{i}.{place}" for place in ours]
                for end in ("weight", "bias"):
                    word = {"weight": "gamma", "bias": "beta"}[end] if "norm" in theirs else end
                    values = stacked(state, places, end, 16)
                    made.append(variable(f"{stack}/layer_{i}/{theirs}/{word}", values, 4))
    return made


def read(data, tmp_path):
    (tmp_path / "model.bin").write_bytes(data)
    return read_ctranslate2(tmp_path / "model.bin")


def test_weights_come_back_under_their_hugging_face_names(reference, tmp_path):
    found = read(whole_file(variables(reference)), tmp_path)
    assert found.keys() == reference.keys() - {"proj_out.weight"}
    assert all(torch.equal(found[name], reference[name]) for name in found)


def test_a_file_cut_off_anywhere_is_an_error(reference, tmp_path):
    whole = whole_file(variables(reference))
    for n_bytes in [*range(60), *range(60, len(whole) - 4, 331)]:
        with pytest.raises(CheckpointError, match=r"cut off or damaged|version \d+, specification"):
            read(whole[:n_bytes], tmp_path)


FLOAT = np.zeros((2, 2), np.float32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (whole_file([], version=5), "version 5, specification '' is not supported"),
        (whole_file([], kind="TransformerSpec"), "specification 'TransformerSpec' is not supported"),
        (whole_file([], count=2**32 - 1), f"the number of variables is said to be {2**32 - 1}"),
        (whole_file([text("a") + struct.pack("<B3I", 3, *[2**31] * 3) + struct.pack("<BI", 0, 4) + bytes(4)]), "of float32 cannot be 4 bytes"),
        (whole_file([text("a") + struct.pack("<BIBI", 1, 2**30, 0, 2**32 - 1)]), f"the bytes of a is said to be {2**32 - 1}"),
        (whole_file([text("a") + struct.pack("<BIBI", 1, 1, 9, 4) + bytes(4)]), "of type 9 cannot be 4 bytes"),
        (whole_file([variable("encoder/conv1/weight", FLOAT.astype(np.int8), 1)]), "is stored as torch.int8, which is not supported"),
        (whole_file([variable("encoder/conv9/weight", FLOAT, 0)]), "holds encoder/conv9/weight, for which there is no place"),
        (whole_file([variable("encoder/layer_0/self_attention/linear_0/weight", FLOAT, 0)]), "does not hold 3 parts"),
    ],
)  # fmt: skip
def test_a_claim_that_the_file_cannot_keep_is_named(content, message, tmp_path):
    with pytest.raises(CheckpointError) as error:
        read(content, tmp_path)
    assert message in str(error.value)


def test_a_damaged_file_is_an_error_or_weights_never_a_crash(reference, tmp_path):
    whole, generator = whole_file(variables(reference)), np.random.default_rng(2)
    for _ in range(200):
        data = bytearray(whole)
        for at in generator.integers(0, len(data), 5):
            data[at] = generator.integers(0, 256)
        try:
            read(bytes(data), tmp_path)
        except CheckpointError as e:
            assert "fix:" in str(e)  # noqa: PT017  (most of these are no error)
