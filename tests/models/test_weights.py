import json
import os
import struct
import weakref

import pytest
import safetensors.torch
import torch

from luban.errors import CheckpointError, ConfigError, DiskError
from luban.models.load import load_model, save_model
from luban.models.weights import STORED, read_weights, stream_safetensors, write_weights

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(1)
    return {f"layer.{i}.weight": torch.randn(10, 10, generator=generator) for i in range(5)}


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_large_model_becomes_numbered_files_and_an_index(tensors, tmp_path):
    write_weights(tensors, tmp_path, max_shard_bytes=900)
    assert names(tmp_path) == [*(f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)), INDEX]
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == 2000
    for name, file in index["weight_map"].items():
        assert torch.equal(safetensors.torch.load_file(tmp_path / file)[name], tensors[name])
    read = read_weights(tmp_path)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_files_are_divided_as_the_reference_library_divides_them(tensors, tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="the reference library is not installed")
    tensors |= {"large": torch.zeros(40, 10), "small": torch.zeros(3)}
    write_weights(tensors, tmp_path, max_shard_bytes=900)
    theirs = hub.split_torch_state_dict_into_shards(tensors, max_shard_size=900)
    assert json.loads((tmp_path / INDEX).read_text())["weight_map"] == theirs.tensor_to_filename


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_model_in_parts_and_short_numbers_loads_in_transformers(dtype, tiny, tokens, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the reference library is not installed")
    transformers.utils.logging.disable_progress_bar()
    model = tiny("llama")
    save_model(model, tmp_path, dtype=dtype, max_shard_bytes=10_000)
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 2
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert theirs.dtype == dtype
    ours = load_model(tmp_path)
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    with torch.no_grad():
        expected = theirs.float().eval()(tokens(2, 9)).logits
        torch.testing.assert_close(ours(tokens(2, 9)), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_numbers_are_the_nearest_ones(dtype, tensors, tmp_path):
    counts = {"steps": torch.tensor([3, 4])}
    write_weights(tensors | counts, tmp_path, dtype=dtype)
    stored = safetensors.torch.load_file(tmp_path / SINGLE)
    assert all(torch.equal(stored[n], t.to(dtype)) for n, t in tensors.items())
    assert torch.equal(stored["steps"], counts["steps"])
    read = read_weights(tmp_path)
    assert all(torch.equal(read[n], t.to(dtype).float()) for n, t in tensors.items())


def test_a_weight_too_large_for_float16_is_named(tmp_path):
    wide = {"ok": torch.ones(2), "wide": torch.tensor([1.0, -70000.0])}
    with pytest.raises(CheckpointError, match=r"wide holds 70000, and float16 ends at 65504"):
        write_weights(wide, tmp_path, dtype=torch.float16)
    assert names(tmp_path) == []
    write_weights(wide, tmp_path, dtype=torch.bfloat16)


def test_nothing_of_an_older_model_stays_to_be_mixed_in(tensors, tmp_path):
    for limit in (450, 900, 10**6, 450):
        tensors = {name: t + 1 for name, t in tensors.items()}
        write_weights(tensors, tmp_path, max_shard_bytes=limit)
        read = read_weights(tmp_path)
        assert all(torch.equal(read[n], t) for n, t in tensors.items())
        n_files = len(list(tmp_path.glob("*.safetensors")))
        assert n_files == {450: 5, 900: 3, 10**6: 1}[limit]
        assert (tmp_path / INDEX).exists() == (n_files > 1)


def test_a_shard_that_holds_nothing_is_refused(tensors, tmp_path):
    with pytest.raises(ConfigError, match="max_shard_bytes = 0 holds no tensor"):
        write_weights(tensors, tmp_path, max_shard_bytes=0)


def test_files_have_the_rights_that_the_user_gives_to_files(tensors, tmp_path):
    before = os.umask(0o027)
    try:
        write_weights(tensors, tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / SINGLE).stat().st_mode & 0o777 == 0o640


def test_a_full_disk_is_said_in_our_words(tensors, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", refuse)
    with pytest.raises(DiskError, match="no space left while writing"):
        write_weights(tensors, tmp_path)
    assert names(tmp_path) == []


def test_what_was_read_outlives_its_file(tensors, tmp_path):
    write_weights(tensors, tmp_path)
    read = read_weights(tmp_path)
    n_bytes = (tmp_path / SINGLE).stat().st_size
    with (tmp_path / SINGLE).open("r+b") as f:
        f.write(b"\xff" * n_bytes)
    assert all(torch.equal(read[n], t) for n, t in tensors.items())


def test_large_finite_weights_are_no_infinity(tmp_path):
    tensors = {"a": torch.full((100,), 3e38), "b": torch.full((100,), 6e4).half()}
    safetensors.torch.save_file(tensors, tmp_path / SINGLE)
    assert torch.equal(read_weights(tmp_path)["a"], tensors["a"])


@pytest.mark.parametrize("is_zip", [True, False])
def test_old_files_of_both_forms_are_read(is_zip, tensors, tmp_path):
    torch.save(tensors, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)
    read = read_weights(tmp_path)
    assert all(torch.equal(read[n], t) for n, t in tensors.items())
    (tmp_path / "pytorch_model.bin").unlink()
    assert read.keys() == tensors.keys()


def test_old_files_in_parts_are_read(tensors, tmp_path):
    where = {name: f"pytorch_model-0000{i % 2 + 1}-of-00002.bin" for i, name in enumerate(tensors)}
    for file in set(where.values()):
        part = {n: t.half() for n, t in tensors.items() if where[n] == file}
        torch.save(part, tmp_path / file)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    read = read_weights(tmp_path)
    assert all(torch.equal(read[n], t.half().float()) for n, t in tensors.items())


def header(value, n_data=8):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(text)) + text + bytes(n_data)


def entry(**changes):
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 1 << 63) + b"{}",
        struct.pack("<Q", (1 << 64) - 1) + b"{}",
        header(entry(shape=[1 << 40, 1 << 40])),
        header(entry(shape=[1 << 62, 4])),
        header(entry(shape=[-2])),
        header(entry(data_offsets=[0, 1 << 60])),
        header(entry(data_offsets=[8, 0])),
        header(entry(data_offsets=[4, 12])),
        header(entry(dtype="F99")),
        header(entry(dtype="F32", shape=[3])),
        header(b'{"a":' * 10_000),
        header({**entry(), "b": entry()["a"]}),
        header(entry(), n_data=7),
        header(entry(), n_data=9),
    ],
)
def test_a_header_that_lies_is_an_error_before_anything_is_read(content, tmp_path):
    (tmp_path / SINGLE).write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        read_weights(tmp_path)


def test_tensors_are_written_one_after_another_and_read_as_they_were(tmp_path):
    made = {
        "a": torch.randn(3, 5).bfloat16(),
        "none": torch.zeros(0, 4),
        "one": torch.tensor(7),
        "flags": torch.tensor([True, False, True]),
        "turned": torch.randn(4, 2).T,
    }
    kinds = {n: (next(w for w, k in STORED.items() if k == t.dtype), t.shape) for n, t in made.items()}
    alive = []

    def one_by_one():
        for tensor in made.values():
            copy = tensor.clone()
            alive.append(weakref.ref(copy))
            yield copy
            del copy
            assert sum(ref() is not None for ref in alive) <= 1

    stream_safetensors(kinds, one_by_one(), tmp_path / "x.safetensors")
    read = safetensors.torch.load_file(tmp_path / "x.safetensors")
    assert all(
        torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in made.items()
    )
    with pytest.raises(ValueError, match="a: torch.float32"):
        stream_safetensors({"a": kinds["a"]}, [torch.zeros(3, 5)], tmp_path / "y.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
