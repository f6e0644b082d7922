"""metrics.jsonl: append-only, cut back on resume, patient with a full disk."""

import errno
import json
import os

from luban.log import Log
from luban.train import metrics
from luban.train.metrics import MetricsFile

QUIET = Log(quiet=True)


def rows(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text("utf-8").splitlines()]


def write(path, last_step, *steps):
    with MetricsFile(path, last_step, QUIET) as file:
        for step in steps:
            file.write({"step": step, "loss": step / 3})


def test_rows_after_the_checkpoint_are_cut_off_on_resume(tmp_path):
    write(tmp_path, 0, 1, 2, 3, 4)
    write(tmp_path, 2, 3)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3]


def test_half_a_row_that_a_killed_run_left_is_cut_off(tmp_path):
    write(tmp_path, 0, 1, 2)
    with (tmp_path / "metrics.jsonl").open("a") as f:
        f.write('{"step": 2, "lo')
    write(tmp_path, 2, 3)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3]


def test_a_row_is_on_the_disk_as_soon_as_it_is_written(tmp_path):
    with MetricsFile(tmp_path, 0, QUIET) as file:
        file.write({"step": 1, "sample": {"prompt": "今", "text": "天"}})
        assert rows(tmp_path) == [{"step": 1, "sample": {"prompt": "今", "text": "天"}}]


def test_rows_wait_while_the_disk_is_full_and_none_is_lost(tmp_path, monkeypatch, capsys):
    plain = metrics._write_at

    def full(handle, data, place):
        plain(handle, data[:5], place)  # a full disk may take a part
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with MetricsFile(tmp_path, 0, Log()) as file:
        file.write({"step": 1})
        monkeypatch.setattr(metrics, "_write_at", full)
        file.write({"step": 2})
        file.write({"step": 3})
        monkeypatch.setattr(metrics, "_write_at", plain)
        file.write({"step": 4})
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4]
    assert capsys.readouterr().err.count("its rows wait in memory") == 1
