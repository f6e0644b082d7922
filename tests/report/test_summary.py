from pathlib import Path
from typing import Any

from luban.report.page import write_report
from luban.report.summary import summarise


def test_the_summary_tells_the_whole_run_in_sixty_lines(run_folder: Path) -> None:
    write_report(run_folder, run_folder / "report.html")
    text = summarise(run_folder)
    for part in ("kept 2,021 of 2,650 documents", "8,000 tokens", "Chinese 4.36", "bits per byte 3.282 → 1.091",
                 "test 1.121 [1.081, 1.161]", "English: She said|", "Chinese: 春天来了，|", "0.842 [0.814, 0.870]",
                 "0.838 [0.810, 0.866]", "22.7 M", "7.9 ms", "Ladder · Chinese", "gpt: reloaded passed, served passed",
                 f"Report: {run_folder / 'report.html'}", f"luban serve {run_folder / 'minilm-en'}",
                 "/v1/classify"):  # fmt: skip
        assert part in text, part
    assert len(text.splitlines()) <= 60
    assert max(map(len, text.splitlines()[:-2])) <= 110


def test_columns_stand_under_each_other(run_folder: Path) -> None:
    lines = summarise(run_folder).splitlines()
    top = next(i for i, line in enumerate(lines) if line.startswith("Ladder · English"))
    assert len({line.index("[") for line in lines[top + 1 : top + 5]}) == 1


def test_a_long_run_is_cut_in_the_middle_not_at_its_end(run_writer: Any, score_writer: Any) -> None:
    for i in range(30):
        for model in ("a", "b", "c"):
            run_writer.stage(f"{model}{i}", "bag", {"data": f"rows{i}.csv"}, {"family": "bag"})
            score_writer(run_writer, f"{model}{i}", f"rows{i}.csv", "bag", 0.8)
    lines = summarise(run_writer.folder).splitlines()
    assert len(lines) <= 60
    assert lines[-1].startswith("Ask:")
    assert "  ... the rest is in the report" in lines


def test_texts_of_the_data_cannot_move_the_cursor(run_writer: Any) -> None:
    sample = {"step": 1, "prompt": "the end of it", "text": "\x1b[2J\x07\r\nnew\u2028line \ud800"}
    run_writer.stage("gpt", "pretrain", {}, {"family": "llama", "samples": [sample]})
    text = summarise(run_writer.folder)
    assert not set(text) & set("\x1b\x07\r\u2028\ud800")
    assert "the end of it| [2J new line ?" in text


def test_a_run_of_one_classifier_says_its_validation_scores(run_writer: Any) -> None:
    run_writer.stage(
        "mine", "classify", {}, {"family": "lstm", "best": {"step": 3, "loss": 0.4, "accuracy": 0.81}}
    )
    text = summarise(run_writer.folder / "mine")
    assert "accuracy 0.810 on validation" in text
    assert f"luban serve {run_writer.folder / 'mine'}" in text


def test_chinese_words_take_two_columns_each(run_writer: Any) -> None:
    steps = [
        {"step": name, "documents_in": 9, "documents_out": 5, "bytes_in": 90, "bytes_out": 50}
        for name in ("去重", "near")
    ]
    run_writer.stage("dedup", "dedup", {}, {"funnel": steps})
    chinese, english = (
        line for line in summarise(run_writer.folder).splitlines() if line.startswith("dedup:")
    )
    assert chinese.index("9") + 2 == english.index("9")
