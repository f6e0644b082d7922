"""A run that learned word vectors shows its loss and the neighbours, and offers no server for them."""

from __future__ import annotations

import re
from pathlib import Path

from luban.log import Log
from luban.recipe import Recipe, Task
from luban.report.page import write_report
from luban.runner import run_recipe
from luban.stages import STAGES
from luban.tasks.settings import VectorsSettings


def test_neighbours_stand_among_the_samples(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("cat dog cow\nred blue green\n" * 40)
    settings = VectorsSettings(dim=8, steps=4, context=8, batch_size=4, threads=1, subsample=0)
    out = tmp_path / "words"
    task = Task("train", STAGES["vectors"], settings, {"data": str(tmp_path / "a.txt")}, out)
    run_recipe(Recipe("train", tmp_path, (task,)), Log(quiet=True))
    write_report(out, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "nats per pair" in page
    assert re.search(r"cat.*answered|answered.*cat", page, re.S)
    assert "luban serve" not in page
