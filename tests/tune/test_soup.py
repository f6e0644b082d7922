"""Merged checkpoints are what the formulas say, and peft's own TIES; models of two kinds are refused."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from luban.errors import CheckpointError, ConfigError
from luban.models.load import load_model, save_model
from luban.tune.soup import MergeSettings, linear, merge_folders, slerp, task, ties, trimmed

USUAL = MergeSettings()


def tensors(n: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    return [torch.randn(7, 11, generator=generator) for _ in range(n)]


@pytest.fixture
def folders(tiny: Any, tmp_path: Path) -> list[Path]:
    """A base and two models that were changed from it."""
    found = []
    for i, name in enumerate(("base", "a", "b")):
        model = tiny("llama")
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(i)), alpha=0.1 * (i > 0))
        save_model(model, tmp_path / name)
        found.append(tmp_path / name)
    return found


def test_linear_is_the_weighted_mean() -> None:
    x, y, z = tensors()
    found = linear([x, y, z], None, [1.0, 2.0, 1.0], USUAL)
    torch.testing.assert_close(found, 0.25 * x + 0.5 * y + 0.25 * z)


def test_slerp_goes_along_the_arc_at_even_speed() -> None:
    x, y = tensors(2)
    x, y = x / x.norm(), y / y.norm()
    whole = math.acos(float((x * y).sum()))
    for share in (0.0, 0.25, 1.0):
        found = slerp([x, y], None, [share], USUAL)
        assert float(found.norm()) == pytest.approx(1, abs=1e-5)
        assert math.acos(min(1.0, float((x * found).sum()))) == pytest.approx(share * whole, abs=1e-3)
    torch.testing.assert_close(slerp([x, x * 1.0001], None, [0.5], USUAL), x * 1.00005)
    assert torch.equal(slerp([x * 0, x * 0], None, [0.5], USUAL), x * 0)


def test_task_arithmetic_adds_the_changes_and_takes_them_away() -> None:
    base, x, y = tensors()
    torch.testing.assert_close(task([x, y], base, [1.0, -0.5], USUAL), base + (x - base) - 0.5 * (y - base))
    torch.testing.assert_close(task([x, base], base, [1.0, 1.0], USUAL), x)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 2.0, 1.0)])
@pytest.mark.parametrize("density", [0.2, 0.7])
def test_ties_is_that_of_peft(weights: tuple[float, ...], density: float) -> None:
    utils = pytest.importorskip("peft.utils.merge_utils", reason="the reference library is not installed")
    base, *parts = tensors(4)
    theirs = utils.ties([p - base for p in parts], torch.tensor(weights), density, "total")
    found = ties(parts, base, weights, MergeSettings(how="ties", density=density))
    torch.testing.assert_close(found, base + theirs)


def test_trimming_keeps_the_largest_of_either_sign() -> None:
    change = torch.tensor([[0.1, -3.0], [2.0, 0.2]])
    assert trimmed(change, 0.5).tolist() == [[0.0, -3.0], [2.0, 0.0]]


@pytest.mark.parametrize("how", ["linear", "slerp", "task", "ties"])
def test_a_merged_folder_opens_and_tells_what_it_is_made_of(
    how: Any, folders: list[Path], tmp_path: Path
) -> None:
    base, *parts = folders
    needs = {"base": base} if how in ("task", "ties") else {}
    facts = merge_folders(parts, tmp_path / "out", MergeSettings(how=how), **needs)
    merged, (a, b, first) = load_model(tmp_path / "out"), map(load_model, (*parts, base))
    rules: Any = {"linear": linear, "slerp": slerp, "task": task, "ties": ties}
    name = "trunk.blocks.1.mlp.up.weight"
    x, y, z = (m.get_parameter(name).detach() for m in (a, b, first))
    weights = [0.5] if how == "slerp" else [1.0, 1.0]
    torch.testing.assert_close(merged.get_parameter(name), rules[how]([x, y], z, weights, USUAL))
    assert json.loads((tmp_path / "out" / "merge.json").read_text()) == facts
    assert len(facts["inputs"]) == 2 + len(needs)


def test_the_mean_of_a_model_with_itself_is_that_model(folders: list[Path], tmp_path: Path) -> None:
    merge_folders([folders[1], folders[1]], tmp_path / "out", USUAL)
    ours, same = load_model(tmp_path / "out"), load_model(folders[1])
    assert all(torch.equal(p, q) for p, q in zip(ours.parameters(), same.parameters(), strict=True))


def test_what_cannot_be_merged_is_said(folders: list[Path], tiny: Any, tmp_path: Path) -> None:
    base, a, b = folders
    out = tmp_path / "out"
    for given, settings, more, problem in (
        ([a], USUAL, {}, "linear of 1 models"),
        ([a, b, base], MergeSettings(how="slerp"), {}, "slerp of 3 models"),
        ([a, b], MergeSettings(how="ties"), {}, "needs the model that all began as"),
        ([a, b], USUAL, {"base": base}, "no use for a base"),
        ([a, b], MergeSettings(weights=(1.0,)), {}, "do not fit linear of 2"),
        ([a, b], MergeSettings(weights=(1.0, -1.0)), {}, "do not fit linear"),
        ([a, b], MergeSettings(how="ties", density=0.0), {"base": base}, "is no share"),
    ):
        with pytest.raises(ConfigError, match=problem):
            merge_folders(given, out, settings, **more)
    save_model(tiny("llama", ffn_dim=48), tmp_path / "narrow")
    save_model(tiny("gpt2"), tmp_path / "other")
    (tmp_path / "nothing").mkdir()
    for folder, problem in (
        ("narrow", r"\[32, 64\] in .* and \[32, 48\]"),
        ("other", "only .* holds"),
        ("nothing", "holds no"),
    ):
        with pytest.raises(CheckpointError, match=problem):
            merge_folders([a, tmp_path / folder], out, USUAL)
    for i, folder in enumerate((a, b)):
        (folder / "tokenizer.json").write_text(str(i))
    with pytest.raises(CheckpointError, match="different tokenizers"):
        merge_folders([a, b], out, USUAL)
    with pytest.raises(ConfigError, match="is there already"):
        merge_folders([a, b], a, USUAL)
    assert not out.exists()
