import json
import os
import resource
import time

import pytest
import safetensors.torch
import torch

from luban.errors import CheckpointError, LubanError
from luban.log import Log
from luban.models import load
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.folder import read_config
from luban.models.load import load_model, save_model
from tests.models.conftest import CLASSES, ask

TWO = HeadConfig(kind="classes", n_classes=2, labels=("no", "yes"))


@pytest.fixture
def folder(tiny, tmp_path):
    """A saved gpt2 language model."""
    save_model(tiny("gpt2"), tmp_path / "m")
    return tmp_path / "m"


def change_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))


def change_weights(folder, change):
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, path)


@pytest.mark.parametrize("kind", ["tokens", "classes", "none"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_comes_back_bit_for_bit(family, kind, tiny, tokens, tmp_path):
    head = CLASSES if kind == "classes" else HeadConfig(kind=kind)
    model = tiny(family, head=head, pad_id=0, eos_id=5)
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.config == model.config
    assert not loaded.training
    assert torch.equal(ask(loaded, tokens(2, 9)), ask(model, tokens(2, 9)))
    assert loaded.load_report.dropped == loaded.load_report.new == ()


@pytest.mark.parametrize("pool", ["first", "mean", "last"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_way_of_pooling_comes_back(family, pool, tiny, tmp_path):
    head = HeadConfig(kind="classes", n_classes=2, labels=("负面", "正面"), pool=pool)
    save_model(tiny(family, head=head), tmp_path)
    found = read_config(tmp_path).head
    assert (found.pool, found.labels) == (pool, ("负面", "正面"))


def test_a_causal_lstm_stays_causal_under_a_head_of_classes(tiny, tmp_path):
    save_model(tiny("recurrent"), tmp_path)
    model = load_model(tmp_path, head=TWO)
    assert model.config.trunk.sight == "causal"
    save_model(model, tmp_path / "tuned")
    assert load_model(tmp_path / "tuned").config == model.config


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_head_keeps_the_trunk_and_says_what_is_new(family, tiny, tokens, tmp_path):
    before = tiny(family)
    save_model(before, tmp_path)
    model = load_model(tmp_path, head=TWO, seed=3)
    assert torch.equal(ask(model, tokens(2, 9), method="hidden"), ask(before, tokens(2, 9), method="hidden"))
    assert ask(model, tokens(2, 9)).shape == (2, 2)
    named = {n for n, _ in model.named_parameters() if n.startswith("head.")}
    assert set(model.load_report.new) == named
    again = load_model(tmp_path, head=TWO, seed=3)
    assert torch.equal(again.head.classes.weight, model.head.classes.weight)
    assert model.head.classes.weight.std() > 0


def test_a_new_head_of_the_same_shape_is_fresh_all_the_same(tiny, tmp_path, capsys):
    before = tiny("bert", head=TWO)
    save_model(before, tmp_path)
    model = load_model(tmp_path, head=TWO, log=Log())
    assert torch.equal(model.head.pooler.weight, before.head.pooler.weight)
    assert not torch.equal(model.head.classes.weight, before.head.classes.weight)
    assert model.load_report.dropped == ("classifier.weight", "classifier.bias")
    said = capsys.readouterr().err
    for name in ("weight", "bias"):
        assert f"classifier.{name}: not loaded\n" in said
        assert f"head.classes.{name}: newly initialised\n" in said


def test_a_missing_tensor_is_named(folder):
    change_weights(folder, lambda t: t.pop("transformer.h.1.mlp.c_fc.weight"))
    with pytest.raises(CheckpointError, match=r"the weights lack transformer\.h\.1\.mlp\.c_fc\.weight"):
        load_model(folder)


def test_a_misshapen_tensor_is_named_with_both_shapes(folder):
    change_weights(folder, lambda t: t.update({"transformer.wpe.weight": torch.zeros(7, 32)}))
    with pytest.raises(
        CheckpointError, match=r"wpe\.weight has the shape \(7, 32\), but .* asks for \(48, 32\)"
    ):
        load_model(folder)


def test_an_unexpected_tensor_is_named(folder):
    change_weights(folder, lambda t: t.update({"transformer.h.2.ln_1.weight": torch.zeros(32)}))
    with pytest.raises(CheckpointError, match=r"the weights hold h\.2\.ln_1\.weight, for which"):
        load_model(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused(folder, value):
    change_weights(folder, lambda t: t["transformer.ln_f.bias"].__setitem__(3, value))
    with pytest.raises(
        CheckpointError, match=r"transformer\.ln_f\.bias holds 1 values that are infinite or not"
    ):
        load_model(folder)


def test_quantised_weights_are_refused(folder):
    change_weights(folder, lambda t: t.update({"transformer.ln_f.bias": torch.zeros(32, dtype=torch.int8)}))
    with pytest.raises(CheckpointError, match=r"ln_f\.bias holds torch\.int8, a quantised form"):
        load_model(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_read_as_float32(folder, dtype):
    change_weights(folder, lambda t: t.update({k: v.to(dtype) for k, v in t.items()}))
    loaded = load_model(folder)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_a_tied_matrix_stored_twice_is_no_surprise(folder, tokens):
    expected = load_model(folder)(tokens(1, 5))
    change_weights(folder, lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"].clone()}))
    loaded = load_model(folder)
    assert torch.equal(loaded(tokens(1, 5)), expected)
    assert loaded.load_report.dropped == ()


def test_weights_in_shards_are_put_together(folder, tokens):
    expected = load_model(folder)(tokens(1, 5))
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    where = {n: f"model-{i % 2}.safetensors" for i, n in enumerate(names)}
    for file in set(where.values()):
        safetensors.torch.save_file({n: tensors[n] for n in names if where[n] == file}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    assert torch.equal(load_model(folder)(tokens(1, 5)), expected)
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-1\.safetensors is missing"):
        load_model(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(CheckpointError, match="outside its folder"):
        load_model(folder)


def test_an_old_file_of_nothing_but_tensors_is_read(folder, tokens):
    expected = load_model(folder)(tokens(1, 5))
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert torch.equal(load_model(folder)(tokens(1, 5)), expected)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_hostile_pickle_is_refused_and_runs_nothing(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    torch.save({"transformer.wte.weight": Hostile(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="opening it could run code; it was not opened"):
        load_model(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["model.pt", "weights.pth", "last.ckpt"])
def test_other_pickles_are_refused_with_the_way_out(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(CheckpointError, match=f"only {name}: a pickle file") as error:
        load_model(folder)
    assert "weights_only=True" in error.value.fix


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 7, b"\xff" * 64, (1 << 62).to_bytes(8, "little") + b"{}", b"\x02\0\0\0\0\0\0\0[]", b"PK\x03\x04" + b"x" * 50],
)  # fmt: skip
def test_a_file_that_is_no_safetensors_is_an_error_not_a_crash(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load_model(folder)


def test_a_cut_off_file_is_an_error(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mamba"}, "model_type = 'mamba' is not supported\n  fix: supported are: marian, bert, gpt2, roberta, t5, whisper, llama, qwen2, qwen3"),
        ({"model_type": ...}, "model_type is missing"),
        ({"n_embd": ...}, "config.json of this gpt2 model has no n_embd"),
        ({"architectures": ["GPT2DoubleHeadsModel"]}, "architectures = ['GPT2DoubleHeadsModel'] is not supported"),
        ({"architectures": ...}, "architectures is missing"),
        ({"activation_function": "mish"}, "activation_function = 'mish' is not supported"),
        ({"scale_attn_by_inverse_layer_idx": True}, "attention scaled by depth is not supported"),
        ({"n_layer": 10**9}, "config.json says 1000000000 layers"),
        ({"n_layer": "2"}, "config.json: n_layer = '2' is no whole number"),
        ({"n_layer": -1}, "config.json: model.n_layers = -1 is no count"),
        ({"n_embd": 10**12}, "config.json: model.dim = 1000000000000 is no count"),
        ({"vocab_size": 10**9}, "wte.weight has the shape (64, 32), but config.json asks for (1000000000, 32)"),
        ({"n_embd": True}, "n_embd = True is no whole number"),
        ({"resid_pdrop": "x"}, "resid_pdrop = 'x' is no number"),
        ({"layer_norm_epsilon": -1.0}, "model.norm_eps = -1.0 is no number from 0 on"),
        ({"eos_token_id": "x"}, "eos_token_id = 'x' is no token id"),
        ({"architectures": 3}, "config.json does not describe a gpt2 model: 'int' object is not iterable"),
        ({"vocab_size": 65}, "wte.weight has the shape (64, 32), but config.json asks for (65, 32)"),
    ],
)  # fmt: skip
def test_a_config_that_does_not_fit_says_how(folder, changes, message):
    change_config(folder, **changes)
    with pytest.raises(LubanError) as error:
        load_model(folder)
    assert message in str(error.value)
    assert "\n  fix: " in str(error.value)


HOSTILE = {
    "llama": (
        "num_hidden_layers",
        "vocab_size",
        "hidden_size",
        "num_attention_heads",
        "max_position_embeddings",
    ),
    "bert": ("num_hidden_layers", "vocab_size", "max_position_embeddings", "type_vocab_size", "num_labels"),
    "t5": ("num_layers", "num_decoder_layers", "vocab_size", "d_kv", "relative_attention_num_buckets"),
    "whisper": ("encoder_layers", "decoder_layers", "d_model", "max_source_positions", "num_mel_bins"),
    "original": ("encoder_layers", "max_position_embeddings", "encoder_ffn_dim"),
    "luban": ("vocab_size", "trunk.n_layers", "trunk.dim", "trunk.n_heads", "max_len", "trunk.n_kv_heads"),
}


@pytest.mark.parametrize("value", [10**9, 10**12, 10**30])
@pytest.mark.parametrize(("family", "key"), [(f, key) for f, keys in HOSTILE.items() for key in keys])
def test_a_hostile_number_costs_neither_time_nor_memory(family, key, value, tiny, tmp_path):
    sinusoidal = tiny("llama", position="sinusoidal") if family == "luban" else None
    head = CLASSES if key == "num_labels" else None
    save_model(sinusoidal or tiny(family, head=head), tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    place = config["luban"] if sinusoidal else config
    if key == "num_labels":
        place.pop("id2label")
    if key.startswith("trunk."):
        place = place["trunk"]
    place[key.removeprefix("trunk.")] = value
    path.write_text(json.dumps(config))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    if (family, key, value) == ("llama", "max_position_embeddings", 10**9):
        load_model(tmp_path)  # rotary positions are counted, not stored
    else:
        with pytest.raises(CheckpointError, match=r"config\.json"):
            load_model(tmp_path)
    assert time.process_time() - began < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


KEYS = {
    "llama": ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    "bert": ("vocab_size", "hidden_size", "max_position_embeddings"),
    "t5": ("vocab_size", "d_model", "d_ff", "num_layers", "num_heads"),
    "whisper": ("d_model", "encoder_layers", "decoder_attention_heads", "max_source_positions"),
}


@pytest.mark.parametrize(("family", "key"), [(f, key) for f, keys in KEYS.items() for key in keys])
def test_a_key_that_is_needed_is_named_with_its_file(family, key, tiny, tmp_path):
    save_model(tiny(family), tmp_path)
    change_config(tmp_path, **{key: ...})
    with pytest.raises(CheckpointError) as error:
        load_model(tmp_path)
    assert f"{tmp_path / 'config.json'} of this {family} model has no {key}" in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: own.pop("max_len"), "'max_len' is missing"),
        (lambda own: own["trunk"].pop("dim"), "dim is not given"),
        (lambda own: own.update(family="mamba"), "family = 'mamba' is none"),
        (lambda own: own.update(stem_scale=None), "model.stem_scale = None is no number"),
        (lambda own: own.update(trunk=3), "does not describe a model"),
        (lambda own: own["head"].update(scale=float("nan")), "scale = nan is no number"),
        (lambda own: own.update(encoder=own["trunk"]), "kind"),
    ],
)
def test_our_own_format_says_what_is_wrong_too(change, message, tiny, tmp_path):
    save_model(tiny("llama", position="alibi"), tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    change(config["luban"])
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError) as error:
        load_model(tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_names_tensors_that_are_missing_misshapen_or_no_numbers(family, tiny, tmp_path):
    save_model(tiny(family), tmp_path)
    whole = safetensors.torch.load_file(tmp_path / "model.safetensors")
    name = max(whole, key=lambda n: (whole[n].ndim, n))
    shape = (whole[name].shape[0] + 1, *whole[name].shape[1:])
    for change, message in (
        (lambda t: t.pop(name), f"the weights lack {name}"),
        (
            lambda t: t.update({name: torch.zeros(shape)}),
            f"{name} has the shape {shape}, but config.json asks for",
        ),
        (
            lambda t: t.update({name: t[name] * float("nan")}),
            f"{name} holds {whole[name].numel()} values that are inf",
        ),
        (lambda t: t.update({"more.weight": torch.zeros(2)}), "the weights hold more.weight"),
    ):
        tensors = dict(whole)
        change(tensors)
        safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
        with pytest.raises(CheckpointError) as error:
            load_model(tmp_path)
        assert message in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00"])
def test_a_broken_config_is_named(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(folder)


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_model(tmp_path)


def test_unknown_rotary_positions_are_refused_not_ignored(tiny, tmp_path):
    save_model(tiny("llama"), tmp_path)
    change_config(tmp_path, rope_parameters={"rope_type": "longrope", "rope_theta": 1.0, "factor": 8.0})
    with pytest.raises(CheckpointError, match="rotary positions of type 'longrope' are not supported"):
        load_model(tmp_path)


def test_saving_does_not_disturb_a_model_read_from_the_same_folder(folder, tiny, tokens):
    loaded = load_model(folder)
    expected = loaded(tokens(1, 5))
    save_model(tiny("gpt2", n_layers=1), folder)
    assert torch.equal(loaded(tokens(1, 5)), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"position": "alibi"},
        {"activation": "sigmoid", "mlp": "plain"},
        {"rotary_dim": 4},
        {"position": "sinusoidal"},
        {"attention_bias": ("q",)},
    ],
)
def test_what_no_format_of_the_world_can_say_is_kept_in_our_own(changes, tiny, tokens, tmp_path):
    model = tiny("llama", **changes)
    save_model(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "luban"
    loaded = load_model(tmp_path)
    assert loaded.config == model.config
    assert torch.equal(loaded(tokens(2, 9)), model(tokens(2, 9)))


def test_a_broken_config_of_our_own_says_what_is_wrong(tiny, tmp_path):
    save_model(tiny("recurrent"), tmp_path)
    change_config(tmp_path, luban={"trunk": {"kind": "recurrent", "dim": 32, "n_layer": 2}})
    with pytest.raises(CheckpointError, match="'luban' does not describe a model: .*n_layer"):
        load_model(tmp_path)


def test_a_tensor_that_was_copied_in_parts_is_let_go(folder, monkeypatch):
    held = []

    def watched(self):
        result = run(self)
        held.extend(self.theirs[key] for key in self.theirs if key.endswith(("c_attn.weight", "c_fc.weight")))
        return result

    run = load._Matching.run
    monkeypatch.setattr(load._Matching, "run", watched)
    load_model(folder)
    assert len(held) == 4
    assert all(tensor.numel() == 0 for tensor in held)


@pytest.mark.parametrize(
    ("rope", "message"),
    [
        (
            {"rope_type": "yarn", "factor": 2.0, "beta_fast": -1},
            "rope_scaling.beta_fast = -1 is no number above 0",
        ),
        (
            {"rope_type": "yarn", "factor": 2.0, "beta_slow": "7"},
            "rope_scaling.beta_slow = '7' is no number above 0",
        ),
        (
            {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": True},
            "rope_scaling.low_freq_factor = True is no number",
        ),
        ({"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 10**30}, "is no length"),
    ],
)
def test_numbers_of_a_stretch_that_cannot_be_are_named(rope, message, tiny, tmp_path):
    save_model(tiny("llama"), tmp_path)
    change_config(tmp_path, rope_parameters={"rope_theta": 100.0} | rope)
    with pytest.raises(LubanError, match=message):
        load_model(tmp_path)


def test_older_spellings_of_a_stretch_are_read(tiny, tmp_path):
    save_model(tiny("llama"), tmp_path)
    change_config(
        tmp_path, rope_parameters=..., rope_theta=500.0, rope_scaling={"type": "linear", "factor": 2.0}
    )
    trunk = load_model(tmp_path).config.trunk
    assert (trunk.rope_theta, trunk.rope_scaling.kind, trunk.rope_scaling.factor) == (500.0, "linear", 2.0)


def test_a_model_type_that_is_no_word_is_not_supported(tiny, tmp_path):
    save_model(tiny("llama"), tmp_path)
    change_config(tmp_path, model_type=["llama"])
    with pytest.raises(CheckpointError, match="is not supported"):
        load_model(tmp_path)
