"""What a run writes down at every step: metrics.jsonl."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from luban.files import disk_errors
from luban.log import Log
from luban.train.trackers import Tracker

METRICS = "metrics.jsonl"


class MetricsFile:
    """Appends rows to metrics.jsonl; rows after `last_step` that a killed run left are cut off first.

    A full disk does not stop a run: rows wait in memory until there is room. Trackers get each row too,
    and are closed with the file.
    """

    def __init__(self, out: Path, last_step: int, log: Log, trackers: Sequence[Tracker] = ()):
        self.path, self._log, self._waiting = out / METRICS, log, bytearray()
        self._trackers = trackers
        with disk_errors(self.path):
            self.path.touch()
            self._file = self.path.open("r+b", buffering=0)
            self._end, self.warnings = _read_until(self.path.read_bytes(), last_step)
            self._file.truncate(self._end)

    def __enter__(self) -> MetricsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        for tracker in self._trackers:
            tracker.close()

    def write(self, row: dict[str, Any]) -> None:
        """Append one row; it has a `step`."""
        is_first = not self._waiting
        self._waiting += (json.dumps(_plain(row), ensure_ascii=False, allow_nan=False) + "\n").encode()
        try:
            if _write_at(self._file.fileno(), self._waiting, self._end) == len(self._waiting):
                self._end += len(self._waiting)
                self._waiting.clear()
        except OSError as e:
            if is_first:
                self._log.warn(f"{self.path} cannot be written ({e.strerror}); its rows wait in memory")
        for tracker in self._trackers:
            tracker.write(row)

    def warn(self, step: int, text: str) -> None:
        """Write down a warning, and keep it for the facts of the run."""
        self.warnings.append(text)
        self.write({"step": step, "warning": text})

    def sync(self) -> None:
        """Flush to the disk, before a checkpoint says that these steps are done."""
        try:
            os.fsync(self._file.fileno())
        except OSError as e:
            self._log.warn(f"{self.path} cannot be flushed to the disk: {e.strerror}; training goes on")


def _plain(value: Any) -> Any:
    """Return what JSON can hold: it has no word for a number that is not finite."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_at(handle: int, data: bytes | bytearray, place: int) -> int:
    return os.pwrite(handle, data, place)


def _read_until(content: bytes, last_step: int) -> tuple[int, list[str]]:
    """Return the length of the leading rows that are whole and not after `last_step`, and their warnings."""
    end, warnings = 0, []
    for line in content.splitlines(keepends=True):
        try:
            row = json.loads(line)
            if not line.endswith(b"\n") or row["step"] > last_step:
                break
        except ValueError:
            break
        end += len(line)
        warnings += [row["warning"]] if "warning" in row else []
    return end, warnings
