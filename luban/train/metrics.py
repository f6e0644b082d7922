"""What a run writes down at every step: metrics.jsonl, and event files for TensorBoard."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from luban.files import disk_errors
from luban.log import Log

METRICS = "metrics.jsonl"
CURVES = ("loss", "lr", "grad_norm", "padding", "tokens_per_second")


class MetricsFile:
    """Appends rows to metrics.jsonl; rows after `last_step` that a killed run left are cut off first.

    A full disk does not stop a run: rows wait in memory until there is room.
    """

    def __init__(self, out: Path, last_step: int, log: Log):
        self.path, self._log, self._waiting = out / METRICS, log, bytearray()
        with disk_errors(self.path):
            self.path.touch()
            self._file = self.path.open("r+b", buffering=0)
            self._end = _end_of(self.path.read_bytes(), last_step)
            self._file.truncate(self._end)
        self._events = _open_events(out, last_step, log)

    def __enter__(self) -> MetricsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._events:
            self._events.close()

    def write(self, row: dict[str, Any]) -> None:
        """Append one row; it has a `step`."""
        is_first = not self._waiting
        self._waiting += (json.dumps(row, ensure_ascii=False) + "\n").encode()
        try:
            if _write_at(self._file.fileno(), self._waiting, self._end) == len(self._waiting):
                self._end += len(self._waiting)
                self._waiting.clear()
        except OSError as e:
            if is_first:
                self._log.warn(f"{self.path} cannot be written ({e.strerror}); its rows wait in memory")
        if self._events:
            self._add_events(row)

    def sync(self) -> None:
        """Flush to the disk, before a checkpoint says that these steps are done."""
        os.fsync(self._file.fileno())

    def _add_events(self, row: dict[str, Any]) -> None:
        step = row["step"]
        for key, value in row.items():
            if key == "sample":
                self._events.add_text("sample", f"**{value['prompt']}**{value['text']}", step)
            elif key == "validation":
                for name, score in value.items():
                    self._events.add_scalar(f"validation/{name}", score, step)
            elif key in CURVES:
                self._events.add_scalar(f"train/{key}", value, step)


def _write_at(handle: int, data: bytes | bytearray, place: int) -> int:
    return os.pwrite(handle, data, place)


def _end_of(content: bytes, last_step: int) -> int:
    """Return the length of the leading rows that are whole and not after `last_step`."""
    end = 0
    for line in content.splitlines(keepends=True):
        try:
            if not line.endswith(b"\n") or json.loads(line)["step"] > last_step:
                break
        except ValueError:
            break
        end += len(line)
    return end


def _open_events(out: Path, last_step: int, log: Log) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        log.say("no TensorBoard files: pip install 'luban[track]' to have them; metrics.jsonl has the same")
        return None
    return SummaryWriter(str(out), purge_step=last_step + 1 if last_step > 0 else None, flush_secs=30)
