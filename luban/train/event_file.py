"""An event file for TensorBoard that a full disk does not stop.

tensorboardX's own writer has a thread, which a full disk ends; training would then wait for it for ever.
Format: length, its checksum, an Event, its checksum (TensorFlow's tfrecord).
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Any

from luban.files import disk_errors


class EventFile:
    """Appends values to a file of its own. What the disk refuses waits in memory for the next time."""

    def __init__(self, folder: Path, purge_step: int | None = None):
        from tensorboardX import record_writer
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._event, self._checksum = Event, record_writer.masked_crc32c
        self._waiting, self._end = bytearray(), 0
        path = folder / f"events.out.tfevents.{int(time.time()):010d}.{os.getpid()}.luban"
        with disk_errors(path):
            self._file = path.open("wb", buffering=0)
        self._append(file_version="brain.Event:2")
        if purge_step is not None:  # values of later steps in older files are not drawn
            self._append(step=purge_step, file_version="brain.Event:2")
            self._append(step=purge_step, session_log=SessionLog(status=SessionLog.START))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Draw a point of a curve."""
        from tensorboardX.summary import scalar

        self._append(step=step, summary=scalar(name, value))

    def add_text(self, name: str, text: str, step: int) -> None:
        """Show a text, as Markdown."""
        from tensorboardX.summary import text as summary_of

        self._append(step=step, summary=summary_of(name, text))

    def write(self) -> bool:
        """Write what waits, if the disk takes it; return whether it did."""
        try:
            is_written = os.pwrite(self._file.fileno(), self._waiting, self._end) == len(self._waiting)
        except OSError:
            return False
        if is_written:
            self._end += len(self._waiting)
            self._waiting.clear()
        return is_written

    def close(self) -> None:
        """Write what still waits, if the disk takes it."""
        self.write()
        self._file.close()

    def _append(self, **what: Any) -> None:
        data = self._event(wall_time=time.time(), **what).SerializeToString()
        header = struct.pack("<Q", len(data))
        self._waiting += header + struct.pack("<I", self._checksum(header))
        self._waiting += data + struct.pack("<I", self._checksum(data))
