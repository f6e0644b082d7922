"""Two folders of scores give one verdict, and only on the same rows."""

import pytest

from luban.errors import DataError
from luban.evaluate.compare import compare, verdict
from luban.evaluate.intervals import Difference
from luban.files import write_jsonl


def scores(folder, n_right, n=100, labels=("a", "b")):
    folder.mkdir()
    rows = []
    for i in range(n):
        label = labels[i % 2]
        predicted = label if i < n_right else labels[1 - i % 2]
        rows.append({"id": f"r:{i}", "label": label, "predicted": predicted, "probability": 0.9})
    write_jsonl(folder / "predictions.jsonl", rows)
    return folder


@pytest.mark.parametrize(
    ("n_right", "expected"),
    [(95, "better"), (40, "worse"), (71, "not distinguishable"), (70, "not distinguishable")],
)
def test_the_verdict_follows_the_interval_of_the_difference(tmp_path, n_right, expected):
    comparison = compare(scores(tmp_path / "a", 70), scores(tmp_path / "b", n_right))
    assert comparison.verdict == expected
    assert comparison.decided_by == "accuracy"
    assert comparison.differences["accuracy"].value == pytest.approx((n_right - 70) / 100)


def test_rows_are_matched_by_id_whatever_their_order(tmp_path):
    first, second = scores(tmp_path / "a", 70), scores(tmp_path / "b", 70)
    lines = (second / "predictions.jsonl").read_text().splitlines(keepends=True)
    (second / "predictions.jsonl").write_text("".join(reversed(lines)))
    assert compare(first, second).differences["accuracy"].p_value == 1


def test_other_rows_or_other_labels_are_refused(tmp_path):
    first = scores(tmp_path / "a", 70)
    with pytest.raises(
        DataError, match="scored on different rows: 100 and 99, 1 of them in one only, such as r:99"
    ):
        compare(first, scores(tmp_path / "b", 70, n=99))
    with pytest.raises(DataError, match="row r:0 is labelled 'a' in .* and 'x' in"):
        compare(first, scores(tmp_path / "c", 70, labels=("x", "y")))


def test_a_folder_without_predictions_is_refused_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(DataError, match="holds no predictions.jsonl") as caught:
        compare(tmp_path, tmp_path)
    assert "luban evaluate MODEL DATA --out SCORES" in caught.value.fix


def test_language_models_are_compared_by_bits_per_byte_where_less_is_better(tmp_path):
    for name, bits in (("a", 20.0), ("b", 16.0)):
        (tmp_path / name).mkdir()
        write_jsonl(
            tmp_path / name / "predictions.jsonl",
            [{"id": str(i), "bits": bits + i % 3, "bytes": 10} for i in range(50)],
        )
    comparison = compare(tmp_path / "a", tmp_path / "b")
    assert (comparison.decided_by, comparison.verdict) == ("bits_per_byte", "better")
    assert comparison.differences["bits_per_byte"].value == pytest.approx(-0.4)


def test_less_is_better_for_errors():
    lost = Difference(0.1, 0.2, 0.1, 0.05, 0.15, 0.01, 10)
    assert verdict("calibration_error", lost) == "worse"
    assert verdict("accuracy", lost) == "better"
