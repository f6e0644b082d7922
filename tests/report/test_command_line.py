import json
from pathlib import Path

import pytest

from luban.cli.main import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["report", *arguments])
    return int(stopped.value.code or 0)


def test_the_page_lands_in_the_run_folder_or_where_it_is_told(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(run_folder)) == 0
    assert capsys.readouterr().out.strip() == str(run_folder / "report.html")
    assert run(str(run_folder), "--out", str(tmp_path / "page.html"), "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["size_bytes"] == (tmp_path / "page.html").stat().st_size


def test_a_folder_that_is_no_run_is_refused_with_a_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(tmp_path)) == 2
    assert "holds no finished stage" in capsys.readouterr().err
    assert run(str(tmp_path), "--open", "maybe") == 2
    assert "--open maybe" in capsys.readouterr().err
