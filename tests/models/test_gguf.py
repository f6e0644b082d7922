import struct

import numpy as np
import pytest
import torch

import luban
from luban.errors import CheckpointError, LubanError, MissingExtra
from luban.models.load import load_model
from luban.models.weights import read_weights

transformers = pytest.importorskip("transformers", reason="the reference library is not installed")
gguf = pytest.importorskip("gguf", reason="the package that writes GGUF files is not installed")
from tests.models.gguf_files import TOKENS, write_model  # noqa: E402

KINDS = gguf.GGMLQuantizationType


def reference(family="llama", **changes):
    """A tiny model of transformers with every weight random."""
    torch.manual_seed(5)
    fields = {
        "vocab_size": len(TOKENS),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 96,
        "max_position_embeddings": 64,
        "head_dim": 16,
        "tie_word_embeddings": False,
    } | changes
    config = transformers.AutoConfig.for_model(family, **fields)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return model


def assert_same(path, theirs, tokens):
    with torch.no_grad():
        torch.testing.assert_close(load_model(path)(tokens), theirs(tokens).logits)


@pytest.fixture
def tokens():
    return torch.randint(0, len(TOKENS), (2, 11), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {}),
        (
            "llama",
            {
                "tie_word_embeddings": True,
                "hidden_size": 96,
                "num_attention_heads": 6,
                "num_key_value_heads": 3,
            },
        ),
        (
            "llama",
            {"attention_bias": True, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64},
        ),
        ("qwen2", {"tie_word_embeddings": True}),
        ("qwen3", {"head_dim": 32}),
    ],
)
def test_logits_are_those_of_the_model_before_it_was_converted(family, changes, tokens, tmp_path):
    theirs = reference(family, **changes)
    path = write_model(tmp_path / "m.gguf", theirs)
    assert_same(path, theirs, tokens)


def test_stretched_positions_come_along(tokens, tmp_path):
    theirs = reference(rope_parameters={"rope_theta": 5e5, "rope_type": "linear", "factor": 4.0})
    extra = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    assert_same(write_model(tmp_path / "m.gguf", theirs, extra=extra), theirs, tokens)


def with_llama3(path, factors):
    """A tiny model with the tensor in which llama.cpp keeps Llama 3's stretching."""
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    theirs = reference(rope_parameters={"rope_theta": 5e5, **scaling})
    plain = 5e5 ** -(torch.arange(0, 16, 2) / 16)
    state = theirs.state_dict
    stretch = plain / theirs.model.rotary_emb.inv_freq if factors is None else factors
    theirs.state_dict = lambda: {**state(), "rope.weight": stretch}
    return write_model(path, theirs), theirs


def test_llama3_stretching_is_recognised(tokens, tmp_path):
    path, theirs = with_llama3(tmp_path / "m.gguf", None)
    assert load_model(path).config.trunk.rope_scaling.factor == 8.0
    assert_same(path, theirs, tokens)


def test_an_unknown_stretching_is_refused(tmp_path):
    path, _ = with_llama3(tmp_path / "m.gguf", torch.linspace(1, 8, 8))
    with pytest.raises(CheckpointError, match="stretches rotary positions in a way that is not supported"):
        load_model(path)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_numbers_are_those_that_the_package_reads(kind, tmp_path):
    path = write_model(tmp_path / "m.gguf", reference("qwen2", tie_word_embeddings=True), KINDS[kind])
    ours = list(read_weights(path).values())
    for tensor, mine in zip(gguf.GGUFReader(path).tensors, ours, strict=True):
        expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert mine.dtype == torch.float32
        assert torch.equal(mine, torch.from_numpy(expected.copy()))


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
def test_large_blocks_are_read_too(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(gguf.quants, "quantize", random_blocks)
    theirs = reference("qwen2", hidden_size=256, intermediate_size=256, num_hidden_layers=1, head_dim=64)
    path = write_model(tmp_path / "m.gguf", theirs, KINDS[kind])
    weights = read_weights(path)
    found = [t for t in gguf.GGUFReader(path).tensors if t.name == "blk.0.attn_k.weight"]
    expected = gguf.quants.dequantize(found[0].data, found[0].tensor_type)
    assert expected.shape == (128, 256)
    assert torch.equal(weights["model.layers.0.self_attn.k_proj.weight"], torch.from_numpy(expected))


def random_blocks(values, kind):
    """The package cannot write these kinds: bytes below 64 make no infinite scale."""
    n_numbers, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    shape = (values.shape[0], values.shape[1] // n_numbers * n_bytes)
    return np.random.default_rng(3).integers(0, 64, shape, np.uint8)


def test_a_folder_written_from_it_opens_in_transformers(tokens, tmp_path):
    theirs = reference()
    model, tokenizer = luban.load(write_model(tmp_path / "m.gguf", theirs))
    luban.save(model, tokenizer, tmp_path / "folder")
    again, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "folder", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    with torch.no_grad():
        assert torch.equal(again.eval()(tokens).logits, theirs(tokens).logits)
    text = "ab cab <think>é中文"
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "folder")
    assert loaded.encode(text, add_special_tokens=False) == tokenizer.encode(text)
    assert (loaded.bos_token, loaded.eos_token) == ("<|start|>", "<|end|>")
    assert loaded.apply_chat_template([{"role": "user", "content": "abc"}], tokenize=False) == "abc"


def test_a_file_without_the_package_says_what_to_install(tmp_path, monkeypatch):
    path = write_model(tmp_path / "m.gguf", reference(), KINDS.Q8_0)
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(MissingExtra, match=r"pip install 'luban\[gguf\]'"):
        load_model(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    return write_model(
        path, reference(num_hidden_layers=1, hidden_size=32, head_dim=8), KINDS.Q8_0
    ).read_bytes()


def opened(data, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    return luban.load(path)


def test_a_file_cut_off_anywhere_is_an_error_that_says_so(whole, tmp_path):
    assert opened(whole, tmp_path)
    step = max(1, len(whole) // 150)
    for n_bytes in [*range(40), *range(40, len(whole) - 40, step)]:
        with pytest.raises(CheckpointError, match=r"cut off or damaged|is no GGUF file"):
            opened(whole[:n_bytes], tmp_path)


def test_a_damaged_header_is_an_error_or_a_model_never_a_crash(whole, tmp_path):
    generator = np.random.default_rng(4)
    n_header = whole.index(b"blk.0.ffn_down.weight")
    messages = []
    for _ in range(250):
        data = bytearray(whole)
        for at in generator.integers(4, n_header, 2):
            data[at] = generator.integers(0, 256)
        try:
            opened(bytes(data), tmp_path)
        except LubanError as e:
            messages.append(str(e))
    assert len(messages) > 50
    assert all(str(tmp_path) in m or "model." in m for m in messages)


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def header(entries=(), tensors=(), n_entries=None, n_tensors=None, version=3):
    counts = (
        len(tensors) if n_tensors is None else n_tensors,
        len(entries) if n_entries is None else n_entries,
    )
    return b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join([*entries, *tensors])


def entry(key, kind, data):
    return text(key) + struct.pack("<I", kind) + data


ARCHITECTURE = entry("general.architecture", 8, text("llama"))
FIELDS = [
    entry(f"llama.{key}", 4, struct.pack("<I", value))
    for key, value in {
        "attention.head_count": 2,
        "embedding_length": 8,
        "block_count": 1,
        "feed_forward_length": 8,
        "context_length": 8,
    }.items()
]
NORM = entry("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5))


def info(name, shape, kind=0, offset=0):
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(n_tensors=1 << 60), f"the number of tensors is said to be {1 << 60}"),
        (header(n_entries=1 << 63), f"the number of metadata entries is said to be {1 << 63}"),
        (header([struct.pack("<Q", 1 << 62) + b"x" * 20]), f"the length of a key of the metadata is said to be {1 << 62}"),
        (header([entry("a", 9, struct.pack("<IQ", 4, 1 << 40))]), f"the number of items of a is said to be {1 << 40}"),
        (header([entry("a", 9, struct.pack("<IQ", 8, 1 << 40))]), f"the number of items of a is said to be {1 << 40}"),
        (header([entry("a", 9, struct.pack("<IQQ", 8, 1, 1 << 40))]), "an item of a is said to end at 1099511627"),
        (header([entry("a", 9, struct.pack("<IQIQ", 9, 1, 9, 1))]), "a has the unknown type 9"),
        (header([entry("a", 77, b"")] ), "a has the unknown type 77"),
        (header([entry("a", 7, b"\1"), entry("a", 7, b"\1")]), "holds a twice"),
        (header([entry("a", 8, struct.pack("<Q", 2) + b"\xff\xfe")]), "a is no text"),
        (header(version=1), "GGUF version 1 is not supported"),
        (header(version=3 << 24), f"GGUF version {3 << 24} is not supported"),
        (header([]), "has no general.architecture in its metadata"),
        (header([entry("general.architecture", 4, struct.pack("<I", 1))]), "general.architecture = 1 is no text"),
        (header([entry("general.architecture", 8, text("mamba"))]), "the architecture 'mamba' is not supported"),
        (header([ARCHITECTURE]), "has no llama.attention.head_count"),
        (header([ARCHITECTURE, *FIELDS, NORM]), "lacks token_embd.weight"),
        (header([ARCHITECTURE, *FIELDS, NORM], [info("token_embd.weight", [8, 1 << 40])]), f"token_embd.weight of the shape ({1 << 40}, 8) as F32 is said to lie at"),
        (header([ARCHITECTURE, *FIELDS, NORM], [info("token_embd.weight", [1 << 62, 8, 8])]), "as F32 is said to lie at"),
        (header([ARCHITECTURE, *FIELDS, NORM], [info("token_embd.weight", [8], offset=1 << 63)]), "is said to lie at"),
        (header([ARCHITECTURE, *FIELDS, NORM], [info("token_embd.weight", [1] * 5)]), "said to have 5 dimensions"),
        (header([ARCHITECTURE, *FIELDS, NORM], [info("token_embd.weight", [8, 8], kind=99)]), "unsupported quantisation type 99"),
        (header([ARCHITECTURE, *FIELDS, NORM], [info("token_embd.weight", [8, 8], kind=8)]), "cannot be Q8_0, which has blocks of 32"),
        (header([ARCHITECTURE, *FIELDS, NORM], [info("a", [1]), info("a", [1])]), "holds a twice"),
        (header([ARCHITECTURE, *FIELDS, NORM], [info("token_embd.weight", [32, 0])]), "token_embd.weight of the shape (0, 32) holds nothing"),
    ],
)  # fmt: skip
def test_a_claim_that_the_file_cannot_keep_is_named(content, message, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(content + bytes(64))
    with pytest.raises(CheckpointError) as error:
        load_model(path)
    assert message in str(error.value)


def test_more_tokens_than_rows_and_unknown_tensors_are_refused(tmp_path):
    small = write_model(tmp_path / "small.gguf", reference(vocab_size=len(TOKENS) - 1))
    with pytest.raises(CheckpointError, match=r"264 tokens, but token_embd.weight only 263 rows"):
        load_model(small)
    path = write_model(tmp_path / "m.gguf", reference())
    path.write_bytes(path.read_bytes().replace(b"blk.0.ffn_gate.weight", b"blk.0.ffn_gata.weight"))
    with pytest.raises(CheckpointError, match=r"holds the tensor blk.0.ffn_gata.weight, for which"):
        load_model(path)


def test_a_mixture_of_experts_is_refused(tmp_path):
    path = write_model(tmp_path / "m.gguf", reference(), extra={"expert_count": 8})
    with pytest.raises(LubanError, match=r"llama\.expert_count = 8"):
        load_model(path)
