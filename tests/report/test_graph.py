import re
from pathlib import Path

from luban.report.chain import read_stages
from luban.report.graph import draw_graph


def test_every_stage_has_a_box_of_its_own_to_the_right_of_its_inputs(run_folder: Path) -> None:
    stages = read_stages(run_folder, [])
    svg = draw_graph(stages)
    places = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', svg)
    assert len(set(places)) == len(stages)
    left = {stage.name: float(x) for stage, (x, _) in zip(stages, places, strict=True)}
    edges = [(s.stage, stage.name) for stage in stages for s in stage.sources if s.stage]
    assert all(left[a] < left[b] for a, b in edges)
    assert svg.count('class="arrow"') == len(edges)
