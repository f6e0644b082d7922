"""The usual run: it evaluates, saves, stops, resumes, and gives back the best weights."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from luban.errors import ConfigError, DataError, Interrupted, LubanError
from luban.log import Log
from luban.records import Batch, Loss
from luban.train import checkpoint
from luban.train import run as run_module
from luban.train.watching import DivergedError
from tests.train.toy_run import Rows, Toy, objective, run

ROOT = Path(__file__).parents[2]


def rows(out):
    kept = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    measured = ("seconds", "wait_seconds", "tokens_per_second", "matmul_share", "memory_bytes")
    return [
        {k: v for k, v in row.items() if k not in measured}
        for row in kept
        if "warning" not in row  # some are about time
    ]


def looks(out):
    return [row["step"] for row in rows(out) if "validation" in row]


def weights(model):
    return {name: t.detach().clone() for name, t in checkpoint.model_tensors(model).items()}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


class StopAfter(Rows):
    """Rows that send this process a signal while a step's batches are prepared."""

    def __init__(self, step, number=signal.SIGTERM, **options):
        super().__init__(**options)
        self.step, self.number = step, number

    def at(self, step):
        if step == self.step:
            os.kill(os.getpid(), self.number)
        return super().at(step)


def test_it_looks_before_the_first_step_then_when_due_and_at_the_end(tmp_path):
    facts = run(tmp_path, steps=10)
    assert looks(tmp_path) == [0, 4, 8, 10]
    assert [row["step"] for row in rows(tmp_path) if "loss" in row] == list(range(1, 11))
    assert facts["first"]["step"] == 0
    assert facts["last"]["step"] == 10
    assert facts["stopped"] == "steps"


def test_without_a_first_look_it_starts_at_once_and_still_resumes_to_the_same_bits(tmp_path):
    whole, halves = Toy(), Toy()
    run(tmp_path / "whole", whole, look_first=False, save_every_steps=3)
    assert looks(tmp_path / "whole") == [3, 4, 8, 12]
    with pytest.raises(Interrupted):
        run(tmp_path / "halves", Toy(), batches=StopAfter(2), look_first=False, save_every_steps=3)
    facts = run(tmp_path / "halves", halves, look_first=False, save_every_steps=3)
    assert facts["first"]["step"] in (1, 2)
    assert_equal(weights(whole), weights(halves))


def test_facts_are_counts_scores_and_speed(tmp_path):
    model = Toy()
    model.layer.requires_grad_(False)
    facts = run(tmp_path, model)
    n_parameters = sum(p.numel() for p in model.parameters())
    assert facts["counts"] == {
        "parameters": n_parameters, "trainable": n_parameters - 72, "steps": 12, "tokens": 12 * 24, "skipped_steps": 0,
    }  # fmt: skip
    assert facts["best"]["loss"] < facts["first"]["loss"]
    assert facts["padding"] == 0
    assert facts["tokens_per_second"] > 0
    assert 0 < facts["matmul_share"] < 1
    assert facts["seconds_per_step"] * 12 == pytest.approx(
        facts["train_seconds"], abs=0.001
    )  # both are rounded
    json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_run_goes_on_as_if_nothing_had_been(tmp_path, number):
    whole, stopped = Toy(), Toy()
    run(tmp_path / "whole", whole, n_micro_batches=2)
    with pytest.raises(Interrupted, match=r"stopped after step \d of 12, saved") as e:
        run(tmp_path / "stopped", stopped, batches=StopAfter(6, number, n_micro_batches=2), n_micro_batches=2)
    assert e.value.exit_code == 128 + number
    resumed = Toy()
    facts = run(tmp_path / "stopped", resumed, n_micro_batches=2)
    assert facts["counts"]["tokens"] == 12 * 2 * 24
    assert_equal(weights(whole), weights(resumed))
    assert rows(tmp_path / "whole") == rows(tmp_path / "stopped")


def test_killed_at_random_moments_it_ends_in_the_same_weights_bit_for_bit():
    script = ROOT / "benchmarks" / "kill_resume.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "3", "--steps", "30"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row = json.loads(done.stdout.splitlines()[-1])
    assert row["equal"]
    assert row["kills"] == 3


def test_a_second_resume_is_as_exact_as_the_first(tmp_path):
    whole, last = Toy(), Toy()
    run(tmp_path / "whole", whole)
    for step in (3, 7):
        with pytest.raises(Interrupted):
            run(tmp_path / "stopped", batches=StopAfter(step))
    run(tmp_path / "stopped", last)
    assert_equal(weights(whole), weights(last))


def test_killed_before_its_first_checkpoint_it_starts_over(tmp_path):
    run(tmp_path / "whole")
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "metrics.jsonl").write_text('{"step": 0, "validation": {"loss": 9.0}}\n{"step": 1, "lo')
    run(killed)
    assert rows(killed) == rows(tmp_path / "whole")


def test_what_an_evaluation_draws_depends_on_the_step_alone(tmp_path):
    draws = []

    def evaluate():
        draws.append(torch.rand(1).item())
        return {"loss": 1.0}

    for name in ("a", "b"):
        model = Toy()
        torch.manual_seed(len(draws))  # whatever was drawn before
        run(tmp_path / name, model, evaluate=evaluate)
    assert draws[:4] == draws[4:]


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, again = Toy(), Toy()
    facts = run(tmp_path, first)
    never = Rows(fail_at=13)
    never.at = None  # type: ignore[method-assign]
    assert run(tmp_path, again, batches=never)["best"] == facts["best"]
    assert_equal(weights(first), weights(again))


def test_after_a_damaged_checkpoint_it_goes_on_from_the_one_before_to_the_same_end(tmp_path, capsys):
    whole, resumed = Toy(), Toy()
    run(tmp_path / "whole", whole)
    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", batches=StopAfter(9))
    newest = max((tmp_path / "stopped" / "checkpoints").glob("step-*"))
    path = newest / checkpoint.OPTIMIZER
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    run(tmp_path / "stopped", resumed, log=Log())
    assert f"checkpoint {newest.name} is not usable" in capsys.readouterr().err
    assert_equal(weights(whole), weights(resumed))
    assert rows(tmp_path / "whole") == rows(tmp_path / "stopped")


def test_no_handler_and_no_thread_stays_behind(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run(tmp_path / "a")
    with pytest.raises(Interrupted):
        run(tmp_path / "b", batches=StopAfter(5))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert not [t for t in threading.enumerate() if t.name.startswith("batches")]


def test_it_runs_outside_the_main_thread(tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(run(tmp_path)["stopped"]))
    thread.start()
    thread.join()
    assert found == ["steps"]


def scores(*losses):
    waiting = iter(losses)
    return lambda: {"loss": next(waiting), "accuracy": 0.5}


def test_patience_stops_after_so_many_looks_without_a_better_one(tmp_path):
    facts = run(tmp_path, steps=100, patience=2, evaluate=scores(5.0, 3.0, 4.0, 3.5, 1.0))
    assert looks(tmp_path) == [0, 4, 8, 12]
    assert (facts["stopped"], facts["best"]["step"], facts["counts"]["steps"]) == ("patience", 4, 12)


def test_patience_counts_on_over_a_resume(tmp_path):
    given = scores(5.0, 3.0, 4.0, 3.5, 1.0)
    with pytest.raises(Interrupted):
        run(tmp_path, steps=100, patience=2, evaluate=given, batches=StopAfter(10))
    facts = run(tmp_path, steps=100, patience=2, evaluate=given)
    assert (facts["stopped"], facts["counts"]["steps"]) == ("patience", 12)


def test_the_best_weights_are_in_the_model_at_the_end(tmp_path):
    model, kept = Toy(), {}
    losses = iter((5.0, 3.0, 1.0, 4.0))

    def evaluate():
        kept[loss := next(losses)] = weights(model)
        return {"loss": loss}

    facts = run(tmp_path, model, evaluate=evaluate)
    assert facts["best"] == {"step": 8, "loss": 1.0}
    assert facts["last"] == {"step": 12, "loss": 4.0}
    assert_equal(weights(model), kept[1.0])
    assert not model.training


def test_more_rows_of_a_look_are_written_and_drawing_them_changes_nothing(tmp_path):
    plain, drawing = Toy(), Toy()
    run(tmp_path / "a", plain)

    def sample(step):
        return [{"sample": {"prompt": "的", "text": str(torch.rand(1))}}]

    run(tmp_path / "b", drawing, on_evaluate=sample)
    assert [row["step"] for row in rows(tmp_path / "b") if "sample" in row] == [0, 4, 8, 12]
    assert_equal(weights(plain), weights(drawing))


def test_two_checkpoints_and_their_best_weights_stay(tmp_path):
    run(tmp_path, steps=17, save_every_steps=5, evaluate=scores(5.0, 3.0, 4.0, 4.0, 4.0, 4.0))
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["best-0000004", "step-0000015", "step-0000017"]
    assert set(load_file(tmp_path / "checkpoints" / "best-0000004" / "model.safetensors")) == set(
        weights(Toy())
    )


class FullDisk:
    """Refuses writes of tensors while `full`."""

    def __init__(self, monkeypatch):
        self.full, self.plain = False, checkpoint.write_tensors
        monkeypatch.setattr(checkpoint, "write_tensors", self)

    def __call__(self, tensors, path):
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.plain(tensors, path)


def test_a_full_disk_warns_training_goes_on_and_the_next_save_works(tmp_path, monkeypatch, capsys):
    disk = FullDisk(monkeypatch)
    model, undisturbed = Toy(), Toy()
    run(tmp_path / "whole", undisturbed)

    def toggle(step):
        disk.full = step in (0, 4)
        return []

    run(tmp_path / "full", model, Log(), on_evaluate=toggle)
    err = capsys.readouterr().err
    assert "warning: best weights not saved: no space left" in err
    assert "warning: no checkpoint at step 5: no space left" in err
    assert_equal(weights(undisturbed), weights(model))
    names = {p.name for p in (tmp_path / "full" / "checkpoints").iterdir()}
    assert "step-0000012" in names


def test_best_weights_the_disk_refused_are_written_with_the_next_checkpoint(tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)

    def toggle(step):
        disk.full = step == 4  # so the best weights, and the checkpoint after step 5, are refused
        return []

    run(tmp_path, evaluate=scores(5.0, 1.0, 4.0, 4.0), on_evaluate=toggle)
    checkpoint.verify_checkpoint(checkpoint.best_folder(tmp_path / "checkpoints", 4))


def test_best_weights_that_the_disk_never_took_still_end_up_in_the_model(tmp_path, monkeypatch):
    FullDisk(monkeypatch).full = True
    model, undisturbed = Toy(), Toy()
    run(tmp_path / "full", model, evaluate=scores(5.0, 1.0, 4.0, 4.0))
    monkeypatch.undo()
    run(tmp_path / "whole", undisturbed, evaluate=scores(5.0, 1.0, 4.0, 4.0))
    assert_equal(weights(undisturbed), weights(model))


def test_stopped_on_a_full_disk_it_says_what_is_not_saved(tmp_path, monkeypatch):
    FullDisk(monkeypatch).full = True
    with pytest.raises(Interrupted, match="NOT saved since step 0"):
        run(tmp_path, batches=StopAfter(5))


def test_a_step_that_diverges_leaves_its_batch_beside_the_run(tmp_path):
    def faulty(model, batch):
        loss = objective(model, batch)
        return Loss(loss.total * float("inf"), loss.n_targets)

    with pytest.raises(DivergedError, match="step 1: loss is inf.*1 steps without") as e:
        run(tmp_path, objective=faulty, n_micro_batches=2, max_skipped_steps=0)
    assert "bad-step-0000001.safetensors" in e.value.fix
    saved = load_file(tmp_path / "bad-step-0000001.safetensors")
    assert torch.equal(saved["1.tokens"], Rows(2).at(1)[1].tokens)
    assert rows(tmp_path)[-1]["loss"] is None, "JSON has no word for infinity"


@pytest.mark.parametrize("max_skipped_steps", [99, 0])
def test_a_disk_too_full_for_a_bad_batch_does_not_end_the_run(
    tmp_path, monkeypatch, capsys, max_skipped_steps
):
    def faulty(model, batch):
        loss = objective(model, batch)
        return Loss(loss.total * float("inf"), loss.n_targets)

    def full(tensors, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_module, "write_tensors", full)
    if max_skipped_steps:
        run(tmp_path, objective=faulty, max_skipped_steps=max_skipped_steps, log=Log())
        assert "batch not saved: no space left while writing" in capsys.readouterr().err
        return
    with pytest.raises(DivergedError) as e:
        run(tmp_path, objective=faulty, max_skipped_steps=max_skipped_steps)
    assert "not saved: no space left" in e.value.fix


def test_weights_that_are_not_finite_stop_the_run_and_never_reach_a_checkpoint(tmp_path):
    model = Toy()

    class Spoils(Rows):
        def at(self, step):
            if step == 8:  # prepared while step 7 computes
                model.layer.weight.data[0, 0] = float("nan")
            return super().at(step)

    with pytest.raises(DivergedError, match=r"step \d: layer.weight holds a number that is not finite") as e:
        run(tmp_path, model, batches=Spoils(), save_every_steps=1, keep_last=1, max_skipped_steps=99)
    assert "the checkpoint of step" in e.value.fix
    kept = sorted((tmp_path / "checkpoints").glob("step-*"))
    assert all(torch.isfinite(load_file(k / "model.safetensors")["layer.weight"]).all() for k in kept)


def test_bad_steps_are_skipped_counted_and_told_until_there_are_too_many(tmp_path, capsys):
    class Rare(Rows):
        def at(self, step):
            return [Batch(b.tokens, b.documents * (step % 3), b.targets) for b in super().at(step)]

    def faulty(model, batch):
        loss = objective(model, batch)
        return Loss(loss.total / batch.documents.max(), loss.n_targets)

    facts = run(tmp_path / "a", batches=Rare(), objective=faulty, max_skipped_steps=4, log=Log())
    assert facts["counts"]["skipped_steps"] == 4
    assert "step 3: loss is inf" in capsys.readouterr().err
    with pytest.raises(DivergedError, match="step 12: .*; 4 steps without a finite gradient"):
        run(tmp_path / "b", batches=Rare(), objective=faulty, max_skipped_steps=3)


def test_a_plateau_lowers_the_learning_rate_and_a_resume_knows_of_it(tmp_path):
    changes = {
        "schedule": "plateau",
        "plateau_looks": 1,
        "steps": 16,
        "warmup_share": 0.0,
        "evaluate": lambda: {"loss": 1.0},
    }
    run(tmp_path / "whole", **changes)
    with pytest.raises(Interrupted):
        run(tmp_path / "halves", batches=StopAfter(9), **changes)
    run(tmp_path / "halves", **changes)
    rates = [[row["lr"] for row in rows(tmp_path / name) if "lr" in row] for name in ("whole", "halves")]
    assert rates[0] == rates[1]
    assert rates[0][::4] == pytest.approx([0.02, 0.01, 0.005, 0.0025])


def test_the_best_weights_may_be_chosen_by_any_score(tmp_path):
    scored = iter([{"loss": 4.0 - i, "accuracy": a} for i, a in enumerate((0.1, 0.9, 0.3, 0.2))])
    facts = run(tmp_path, evaluate=lambda: next(scored), best_by="accuracy")
    assert facts["best"]["step"] == 4
    with pytest.raises(
        ConfigError, match="best_by = acuracy, but this task's scores are loss, accuracy"
    ) as e:
        run(tmp_path / "x", evaluate=lambda: {"loss": 1.0, "accuracy": 0.5}, best_by="acuracy")
    assert "accuracy" in e.value.fix


def test_the_running_mean_of_the_weights_is_what_is_scored_and_left(tmp_path):
    seen = []

    def look(model):
        seen.append({k: v.detach().clone() for k, v in model.named_parameters()})
        return {"loss": 1.0 / len(seen)}

    model = Toy()
    run(tmp_path, model, evaluate=lambda: look(model), ema_decay=0.9)
    for name, p in model.named_parameters():
        assert torch.equal(p, seen[-1][name])
    plain = Toy()
    run(tmp_path / "plain", plain)
    assert not torch.equal(plain.layer.weight, model.layer.weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_validation_that_is_not_finite_is_an_error_with_its_step(tmp_path, value):
    with pytest.raises(LubanError, match=f"step 4: validation loss is {value}"):
        run(tmp_path, evaluate=scores(5.0, value))


def test_all_targets_ignored_is_an_error_with_its_step(tmp_path):
    with pytest.raises(DataError, match="step 3: every target is ignored"):
        run(tmp_path, batches=Rows(ignore_at=3))


def test_an_error_in_the_data_reaches_the_caller(tmp_path):
    with pytest.raises(RuntimeError, match="the data broke"):
        run(tmp_path, batches=Rows(fail_at=3))


def test_checkpoints_of_other_settings_are_refused_by_name(tmp_path):
    run(tmp_path, lr=0.02)
    with pytest.raises(ConfigError, match=r"was made with other settings: lr = 0\.02, now 0\.01"):
        run(tmp_path, lr=0.01)


def test_layers_learn_at_their_own_share(tmp_path):
    model = Toy()
    before = model.layer.weight.detach().clone()
    run(tmp_path, model, lr_scale=lambda name: 0.0 if name.startswith("layer") else 1.0)
    assert torch.equal(model.layer.weight, before)
