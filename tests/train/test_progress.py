"""What a person sees of a run."""

import io
import re

from luban.log import Log
from tests.train.toy_run import run


def test_piped_output_is_plain_lines_with_all_that_matters(tmp_path, capsys):
    run(tmp_path, log=Log(), log_every_steps=6)
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert len(re.findall(r"^step \d+/12  loss", err, re.M)) == 2
    assert re.search(
        r"^step 6/12  loss \d\.\d{4}  lr \d\.\d\de-\d\d  tokens/s \d+  matmul \d+%  padding 0%  left \d+ s$",
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
    assert "tokens/s" in screen.getvalue()
    assert "step 12" in screen.getvalue()


def test_a_quiet_log_stays_quiet(tmp_path, capsys):
    run(tmp_path)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
