"""What a person sees of a run."""

import io
import re
from dataclasses import replace

from luban.log import Log
from luban.records import Step
from luban.train.progress import Frame, Progress
from tests.train.toy_run import run


def test_piped_output_is_plain_lines_with_all_that_matters(tmp_path, capsys):
    run(tmp_path, log=Log(), log_every_steps=6)
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert len(re.findall(r"^step \d+/12  loss", err, re.M)) == 2
    assert re.search(
        r"^step 6/12  loss \d\.\d{4}  grad \S+  lr \d\.\de-\d\d  tokens/s [\d,]+  matmul \d+%  padding 0%  "
        r"memory \d\.\d GB  (waiting \d+%  )?left \d+ s$",
        err,
        re.M,
    )
    assert len(re.findall(r"^step \d+/12  validation  loss \d", err, re.M)) == 4


def test_programs_get_json_lines(tmp_path, capsys):
    run(tmp_path, log=Log(as_json=True), log_every_steps=12)
    out = capsys.readouterr().out
    assert '"validation": {"loss"' in out
    assert '"step": 12, "loss"' in out


def test_a_terminal_gets_a_bar_that_ends_full(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    run(tmp_path, log=Log())
    assert "12/12" in screen.getvalue()
    assert "tok/s" in screen.getvalue()
    assert "step 12" in screen.getvalue()


def test_a_narrow_terminal_leaves_out_what_matters_least():
    texts = {"loss": "3.1234", "grad": "0.83", "lr": "9.8e-04", "tokens/s": "1,203", "matmul": "88%",
             "padding": "2%", "memory": "1.3 GB", "validation": "3.2211"}  # fmt: skip
    frame = Frame(3000, 1240, "3 min", texts)
    wide, usual, narrow = (frame.figures(width).plain for width in (120, 80, 50))
    assert (
        wide == "loss 3.1234  val 3.2211  grad 0.83  lr 9.8e-04  tok/s 1,203  matmul 88%  pad 2%  mem 1.3 GB"
    )
    assert usual == "loss 3.1234  val 3.2211  grad 0.83  tok/s 1,203  matmul 88%  pad 2%  mem 1.3 GB"
    assert narrow == "loss 3.1234  val 3.2211  tok/s 1,203  matmul 88%"


def test_waiting_and_skipped_steps_are_shown_once_there_are_some(capsys):
    progress = Progress(Log(), 2, 1)
    step = Step(1, 2.0, 0.5, 1e-3, 8, 10, 10, 1.0)
    progress.step(step, {})
    assert "waiting" not in capsys.readouterr().err
    progress.step(replace(step, number=2, loss=float("nan"), wait_seconds=0.5, bad=("a batch",)), {})
    assert "skipped 1" in capsys.readouterr().err


def test_a_quiet_log_stays_quiet(tmp_path, capsys):
    run(tmp_path)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
