"""Pre-training on a mixture: it resumes bit for bit, is certified, and says what it reads."""

from dataclasses import replace
from pathlib import Path

import pytest

from luban.data.mixture import MixedWindows
from luban.data.mixture_settings import MixtureSettings, PhaseSettings
from luban.errors import DataError
from luban.log import Log
from luban.stages import STAGES
from luban.tasks.corrupted import CorruptedWindows
from luban.tasks.pretrain import pretrain
from luban.tasks.settings import PretrainSettings
from luban.tasks.windows import shard_folders, training_windows
from luban.train.proofs.sampling import sampled
from tests.tasks.test_pretrain import TEXTS, TINY, write_shards
from tests.train.proofs.subjects import language_model

QUIET = Log(quiet=True)
PHASES = (PhaseSettings(weights={"a": 3, "b": 1}, until_step=5), PhaseSettings(weights={"a": 1, "b": 1}))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("mixed")
    return {"shards": write_shards(root / "a"), "shards:2": write_shards(root / "b", TEXTS[::-1])}


def settings(**changes: object) -> PretrainSettings:
    usual = {
        "model": TINY, "context": 16, "batch_size": 4, "steps": 10, "threads": 1, "device": "cpu",
        "evaluate_every_steps": 5, "save_every_steps": 3, "mixture": MixtureSettings(phases=PHASES, blend=True),
    }  # fmt: skip
    return PretrainSettings(**(usual | changes))  # type: ignore[arg-type]


def test_a_stopped_run_on_a_mixture_goes_on_to_the_same_weights(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    facts = pretrain(settings(), inputs, whole, QUIET)
    assert facts["mixture"]["a"]["share"] == pytest.approx((2.5 + 2.5 - 0.625) / 8, abs=0.1)
    honest = MixedWindows.at

    def fails(self: MixedWindows, step: int) -> list:
        if step == 8:
            raise RuntimeError("the data broke")
        return honest(self, step)

    monkeypatch.setattr(MixedWindows, "at", fails)
    with pytest.raises(RuntimeError, match="the data broke"):
        pretrain(settings(), inputs, stopped, QUIET)
    monkeypatch.setattr(MixedWindows, "at", honest)
    pretrain(settings(), inputs, stopped, QUIET)
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("mixture", [MixtureSettings(), MixtureSettings(phases=PHASES, blend=True)])
def test_the_certificate_says_how_parts_are_sampled(
    inputs: dict[str, Path], mixture: MixtureSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luban.train.proofs.sampling.WALK_SECONDS", 2.0)
    folders = shard_folders(inputs)

    def windows(batch_size: int, n: int) -> MixedWindows:
        made = training_windows(folders, settings(mixture=mixture, batch_size=batch_size, n_micro_batches=n))
        assert isinstance(made, MixedWindows)
        return made

    subject = replace(language_model(batches=windows(4, 1)), again=lambda: windows(2, 2))
    found = sampled(subject)
    assert found.holds, found
    assert "in each of 2 parts mixed" in found.words
    hidden = CorruptedWindows(windows(4, 1), lambda batch, _: batch)
    assert hidden.source_of is not None


def test_a_mixture_that_reads_a_window_twice_in_an_epoch_is_found(
    inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luban.train.proofs.sampling.WALK_SECONDS", 2.0)

    class Drawn(MixedWindows):
        """Draws windows with replacement."""

        def _ids(self, part, numbers):
            return super()._ids(part, numbers * 7919 % 5)

    def windows(batch_size: int, n: int) -> MixedWindows:
        sizes = {"context": 16, "batch_size": batch_size, "seed": 1, "n_micro_batches": n}
        return Drawn(shard_folders(inputs), "train", MixtureSettings(), **sizes)

    found = sampled(replace(language_model(batches=windows(4, 1)), again=lambda: windows(2, 2)))
    assert not found.holds
    assert "come twice in an epoch of their own part" in found.words


def test_repetition_beyond_the_limit_is_a_warning(
    inputs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixture = MixtureSettings(weights={"a": 1, "b": 99}, max_epochs=0.5)
    pretrain(settings(mixture=mixture, steps=20), inputs, tmp_path, Log())
    captured = capsys.readouterr()
    assert "b: 98.8% of the windows" in captured.out + captured.err
    assert "mixture.max_epochs is 0.5: give it more text, or less weight" in captured.err


def test_shards_of_another_tokenizer_are_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    other = write_shards(tmp_path / "other", [f"{t} ..." for t in TEXTS], vocab_size=290)
    with pytest.raises(DataError, match="number their tokens differently"):
        pretrain(settings(), {**inputs, "shards:2": other}, tmp_path, QUIET)


def test_the_stage_takes_a_list_of_shards() -> None:
    assert STAGES["pretrain"].many == ("shards",)
