import re

import pytest

from luban.report.charts import Line, line_chart, reliability_chart, ticks, whisker_chart
from luban.report.ladder import Bin, Score


@pytest.mark.parametrize(("low", "high"), [(0, 8), (0.281, 0.764), (-3, 1e6), (1e-7, 3e-5), (5, 5.0001)])
def test_ticks_are_few_evenly_spaced_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    gaps = {round((b - a) / (found[1] - found[0]), 6) for a, b in zip(found, found[1:], strict=False)}
    assert 3 <= len(found) <= 9
    assert gaps == {1.0}
    assert all(low - 1e-9 <= t <= high + 1e-9 for t in found)


def test_a_curve_falls_on_the_page_where_the_loss_falls() -> None:
    svg = line_chart([Line("loss", ((0, 9.0), (10, 3.0), (20, 1.0)))], x_name="step", y_name="nats")
    points = re.search(r'points="([^"]+)"', svg)
    assert points
    heights = [float(p.split(",")[1]) for p in points[1].split()]
    assert heights == sorted(heights)  # y grows downwards


def test_a_single_point_is_drawn_as_a_dot() -> None:
    assert "<circle" in line_chart([Line("loss", ((1, 2.0),))], x_name="step", y_name="nats")


def test_a_second_scale_has_ticks_of_its_own() -> None:
    curve = [Line("loss", ((0, 8.0), (9, 2.0)))]
    plain = line_chart(curve, x_name="step", y_name="nats")
    scaled = line_chart(curve, x_name="step", y_name="nats", right=("bits per byte", 0.5))
    assert "bits per byte" in scaled
    assert scaled.count('class="tick') > plain.count('class="tick')


def test_a_score_without_an_interval_is_a_dot_alone() -> None:
    svg = whisker_chart([("a", Score(0.5)), ("b", Score(0.7, 0.6, 0.8))])
    assert svg.count('class="whisker') == 1
    assert svg.count("<circle") == 2


def test_every_chart_says_its_values_in_its_title() -> None:
    assert "0.700 [0.600, 0.800]</title>" in whisker_chart([("b", Score(0.7, 0.6, 0.8))])
    assert "confidence 0.90 accuracy 0.85 of 12" in reliability_chart([Bin(0.8, 1.0, 0.9, 0.85, 12)])
