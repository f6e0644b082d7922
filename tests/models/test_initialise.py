"""First weights have the deviations that the papers state, and the first scores are even."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from luban.models.build import build_model
from luban.models.config import HeadConfig, TransformerConfig
from luban.models.families import FAMILIES
from luban.models.initialise import SCHEMES
from luban.models.load import load_model, save_model
from luban.models.width import BASE_DIM, width_lr_scale

WIDE = {"dim": 96, "n_layers": 3, "n_heads": 4, "ffn_dim": 160, "max_len": 200}
KV = WIDE | {"n_kv_heads": 2}
D = 96


def stds(model):
    return {n: p.std().item() for n, p in model.named_parameters() if p.ndim > 1}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5", "original"])
def test_a_language_model_begun_by_any_scheme_knows_nothing_yet(family, scheme, tied):
    config = FAMILIES[family].config(
        "tiny", vocab_size=2048, init=scheme, head=HeadConfig(tied=tied), n_layers=2
    )
    tokens = torch.randint(0, 2048, (2, 65), generator=torch.Generator().manual_seed(1))
    source = {} if config.encoder is None else {"source": tokens[:, :-1]}
    with torch.no_grad():
        logits = build_model(config).eval()(tokens[:, :-1], **source)
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).item()
    assert abs(loss / math.log(2048) - 1) < 0.02


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("normal", {"attention.q": 0.02, "attention.out": 0.02, "mlp.down": 0.02}),
        ("scaled", {"attention.q": 0.02, "attention.out": 0.02 / 6**0.5, "mlp.down": 0.02 / 6**0.5}),
        ("t5", {"attention.q": (D * 24) ** -0.5, "attention.k": D**-0.5, "attention.out": D**-0.5, "mlp.gate": D**-0.5, "mlp.down": 160**-0.5}),
        ("xavier", {"attention.q": (2 / (D + D)) ** 0.5, "attention.k": (2 / (D + 48)) ** 0.5, "mlp.up": (2 / (D + 160)) ** 0.5, "mlp.down": (2 / (D + 160)) ** 0.5}),
        ("kaiming", {"attention.v": (2 / D) ** 0.5, "mlp.up": (2 / D) ** 0.5, "mlp.down": (2 / 160) ** 0.5}),
        ("mup", {"attention.q": 0.02 * (BASE_DIM / D) ** 0.5, "mlp.down": 0.02 * (BASE_DIM / D) ** 0.5}),
    ],
)  # fmt: skip
def test_matrices_have_the_deviation_of_their_scheme(scheme, expected):
    model = build_model(FAMILIES["llama"].config("tiny", vocab_size=300, init=scheme, **KV))
    found = stds(model)
    for part, std in expected.items():
        assert_close(found[f"trunk.blocks.1.{part}.weight"], std, rtol=0.03, atol=0)
    embedding = {"t5": 1.0, "xavier": D**-0.5}.get(scheme, 0.02)
    assert_close(found["stem.tokens.weight"], embedding, rtol=0.03, atol=0)


def test_xavier_is_uniform_within_its_bound():
    weight = build_model(FAMILIES["llama"].config("tiny", vocab_size=9, init="xavier", **KV)).trunk.blocks[0]
    bound = math.sqrt(6 / (D + 160))
    assert 0.99 * bound < weight.mlp.up.weight.max() <= bound
    assert weight.mlp.up.weight.abs().mean().item() == pytest.approx(bound / 2, rel=0.03)


@pytest.mark.parametrize(
    ("scheme", "conv1", "conv2"),
    [
        ("normal", 0.02, 0.02),
        ("xavier", (2 / (3 * (8 + D))) ** 0.5, (2 / (3 * 2 * D)) ** 0.5),
        ("kaiming", (2 / 24) ** 0.5, (2 / (3 * D)) ** 0.5),
        ("t5", 24**-0.5, (3 * D) ** -0.5),
        ("mup", 0.02, 0.02 * (BASE_DIM / D) ** 0.5),
    ],
)
def test_convolutions_count_every_frame_they_read(scheme, conv1, conv2):
    sizes = WIDE | {"source_max_len": 20, "n_mels": 8}
    stem = build_model(FAMILIES["whisper"].config("tiny", vocab_size=99, init=scheme, **sizes)).encoder.stem
    assert_close(stem.conv1.weight.std().item(), conv1, rtol=0.05, atol=0)
    assert_close(stem.conv2.weight.std().item(), conv2, rtol=0.05, atol=0)
    assert not stem.conv1.bias.any()


def test_words_begin_within_half_over_the_width_and_contexts_at_nothing():
    model = build_model(FAMILIES["word2vec"].config("tiny", vocab_size=500, dim=50))
    assert 0.0099 < model.stem.tokens.weight.max() <= 0.01
    assert not model.head.weight.any()


@pytest.mark.parametrize("kind", ["t5", "t5 1.1", "gpt2"])
def test_every_matrix_begins_as_wide_as_in_transformers(kind, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    if kind == "gpt2":
        config = transformers.GPT2Config(vocab_size=300, n_embd=D, n_layer=3, n_head=4, n_positions=200)
        theirs = transformers.GPT2LMHeadModel(config)
    else:
        gated = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False} if kind != "t5" else {}
        sizes = {"d_model": D, "d_kv": 16, "d_ff": 160, "num_layers": 3, "num_heads": 4}
        theirs = transformers.T5ForConditionalGeneration(
            transformers.T5Config(vocab_size=300, decoder_start_token_id=0, **sizes, **gated)
        )
    theirs.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    theirs, ours = stds(loaded), stds(build_model(loaded.config))
    assert theirs.keys() == ours.keys()
    for name, std in theirs.items():
        few = "distances" in name  # 32 times 4 numbers
        assert_close(ours[name], std, rtol=0.3 if few else 0.05, atol=0, msg=name)


def test_a_class_head_on_t5_begins_small_and_its_last_norm_as_it_is():
    head = HeadConfig(kind="classes", n_classes=40, labels=tuple(map(str, range(40))), pool="mean")
    model = build_model(FAMILIES["t5"].config("tiny", vocab_size=99, head=head, **WIDE))
    assert_close(model.head.classes.weight.std().item(), D**-0.5, rtol=0.05, atol=0)
    assert (model.trunk.norm.weight == 1).all()


def mup(dim, **changes):
    sizes = {"n_heads": dim // 32, "n_kv_heads": dim // 32, "n_layers": 2, "max_len": 32} | changes
    return build_model(FAMILIES["llama"].config("tiny", vocab_size=64, dim=dim, init="mup", **sizes))


def test_mup_scales_scores_and_attention_by_the_width_and_both_come_back(tmp_path):
    model = mup(512)
    assert model.config.head.scale == 0.5
    assert model.config.trunk.attention_scale == 8 / 32
    save_model(model, tmp_path)
    assert load_model(tmp_path).config == model.config


def test_at_the_base_width_mup_is_the_plain_scheme():
    plain = FAMILIES["llama"].config("tiny", vocab_size=64)
    config = FAMILIES["llama"].config("tiny", vocab_size=64, init="mup")
    tokens = torch.arange(12).view(2, 6)
    assert_close(build_model(config)(tokens), build_model(plain)(tokens))
    assert {width_lr_scale(build_model(config), config)(n) for n in ("head.weight", "trunk.norm.weight")} == {
        1.0
    }


def test_mup_slows_hidden_matrices_and_nothing_else():
    head = HeadConfig(tied=False)
    model = mup(512, head=head)
    scale = width_lr_scale(model, model.config)
    slow = {n for n, _ in model.named_parameters() if scale(n) != 1}
    assert slow == {n for n, p in model.named_parameters() if p.ndim == 2 and n.startswith("trunk.")}
    assert {scale(n) for n in slow} == {0.5}
    plain = build_model(FAMILIES["llama"].config("tiny", vocab_size=64, dim=512, n_layers=1))
    assert {width_lr_scale(plain, plain.config)(n) for n, _ in plain.named_parameters()} == {1.0}


def moved(dim: int, scheme: str) -> float:
    """Return how far three steps of Adam move the scores, at one rate for every width."""
    config = mup(dim).config if scheme == "mup" else FAMILIES["llama"].config(
        "tiny", vocab_size=64, dim=dim, n_heads=dim // 32, n_kv_heads=dim // 32, n_layers=2, max_len=32
    )  # fmt: skip
    model = build_model(config)
    assert isinstance(config.trunk, TransformerConfig)
    scale = width_lr_scale(model, config)
    groups = [{"params": [p], "lr": 0.01 * scale(n)} for n, p in model.named_parameters()]
    optimizer = torch.optim.Adam(groups)
    tokens = torch.randint(0, 64, (4, 17), generator=torch.Generator().manual_seed(2))
    before = model(tokens[:, :-1]).detach()
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()
    return (model(tokens[:, :-1]).detach() - before).square().mean().sqrt().item()


def test_under_mup_steps_move_the_scores_of_wide_models_no_further():
    assert 0.6 < moved(512, "mup") / moved(64, "mup") < 1.7
    assert moved(512, "normal") / moved(64, "normal") > 2.5
