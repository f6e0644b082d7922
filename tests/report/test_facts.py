from pathlib import Path
from typing import Any

from luban.report.facts import read_run


def test_a_whole_run_is_read_without_a_note(run_folder: Path) -> None:
    run = read_run(run_folder)
    assert run.notes == ()
    assert run.documents == (2650, 2021)
    assert [s.step for s in run.funnel][-2:] == ["exact", "near"]
    assert run.corpus.licences["CC-BY-SA-4.0"] == 580
    assert run.corpus.rejects == 3
    assert run.tokenizers[0].bytes_per_token == {"en": 3.91, "zh": 4.36}


def test_bits_per_byte_go_from_before_training_to_the_best_and_the_test_split(run_folder: Path) -> None:
    run = read_run(run_folder)
    gpt = next(t for t in run.trainings if t.is_language_model)
    before, after = gpt.bits_per_byte
    test = run.test_bits_per_byte(gpt)
    assert before is not None
    assert after is not None
    assert test is not None
    assert test.low is not None
    assert test.high is not None
    assert before > after
    assert test.low < test.value < test.high


def test_the_ladder_has_a_part_for_each_data_file_in_the_order_of_the_craft(run_folder: Path) -> None:
    english, chinese = read_run(run_folder).ladders
    assert (english.language, chinese.language) == ("en", "zh")
    assert [r.order for r in english.rungs] == [0, 1, 2, 3]
    assert english.best is not None
    assert english.best.title.startswith("Pretrained")
    assert len(chinese.rungs) == 3


def test_mistakes_are_the_surest_ones(run_folder: Path) -> None:
    rung = read_run(run_folder).rungs[1]
    assert [round(m.probability or 0, 2) for m in rung.mistakes] == [0.99, 0.97, 0.95, 0.93, 0.91, 0.89]
    assert all(m.label != m.predicted for m in rung.mistakes)


def test_two_models_of_one_kind_are_told_apart(run_writer: Any, score_writer: Any) -> None:
    for model in ("small", "large"):
        run_writer.stage(model, "classify", {"data": "rows.csv"}, {"family": "bert"})
        score_writer(run_writer, model, "rows.csv", "bert", 0.8)
    titles = [r.title for r in read_run(run_writer.folder).ladders[0].rungs]
    assert len(set(titles)) == 2


def test_a_copy_that_could_not_be_compared_has_not_passed(run_writer: Any) -> None:
    copy = {"copy": "transformers", "passed": True, "prompts": 0, "note": "not installed"}
    run_writer.stage("golden", "golden", {}, {"copies": [copy], "passed": True})
    assert read_run(run_writer.folder).golden[0].copies[0].verdict is None


def test_a_confusion_matrix_that_fits_no_labels_is_left_out(run_writer: Any) -> None:
    facts = {"metrics": {"accuracy": {"value": 0.5}}, "confusion": {"labels": ["a", "b"], "counts": [[1, 2]]}}
    run_writer.stage("score", "evaluate", {}, facts)
    run = read_run(run_writer.folder)
    assert run.rungs[0].confusion == ()
    assert "counts do not fit the 2 labels" in run.notes[0]


def test_a_metrics_file_cut_off_in_the_middle_still_gives_its_curve(run_writer: Any) -> None:
    folder = run_writer.stage("gpt", "pretrain", {}, {"counts": {}})
    (folder / "metrics.jsonl").write_text(
        '{"step": 1, "loss": 5.0}\n{"step": 2, "loss": NaN}\n{"step": 3, "lo'
    )
    run = read_run(run_writer.folder)
    assert run.trainings[0].loss == ((1.0, 5.0),)
    assert len(run.notes) == 2


def test_a_long_curve_is_thinned_but_keeps_its_ends(run_writer: Any, row_writer: Any) -> None:
    folder = run_writer.stage("gpt", "pretrain", {}, {})
    row_writer(folder / "metrics.jsonl", [{"step": n, "loss": 1.0 / n} for n in range(1, 5001)])
    loss = read_run(run_writer.folder).trainings[0].loss
    assert len(loss) == 240
    assert (loss[0][0], loss[-1][0]) == (1, 5000)
