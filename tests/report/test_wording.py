import pytest

from luban.report.ladder import Score
from luban.report.wording import date, duration, magnitude, percent, plain, score, size


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (magnitude(22_713_602), "22.7 M"),
        (magnitude(999_700), "1000 k"),
        (magnitude(52), "52"),
        (magnitude(None), "–"),
        (size(3_912_000), "3.9 MB"),
        (size(12), "12 B"),
        (duration(4.24), "4.2 s"),
        (duration(119.7), "2 min 00 s"),
        (duration(7500), "2 h 05 min"),
        (percent(1, 0), "–"),
        (score(Score(0.84162, 0.8138, 0.8701)), "0.842 [0.814, 0.870]"),
        (score(Score(0.84162)), "0.842"),
        (date("2026-03-02T09:05:00+00:00"), "2 March 2026, 09:05 UTC"),
        (date("yesterday"), "yesterday"),
        (plain("a\x1b[0m\ud800"), "a [0m?"),
    ],
)
def test_numbers_are_written_as_people_read_them(written: str, wanted: str) -> None:
    assert written == wanted
