"""Event files are TensorBoard's, record for record, and a full disk only makes them wait."""

import errno
import os
import struct

import pytest

pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")

from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from luban.train.event_file import EventFile


def events(folder):
    (path,) = folder.glob("events.out.tfevents.*")
    content, found = path.read_bytes(), []
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        data = content[12 : 12 + size]
        assert struct.unpack("<I", content[8:12]) == (masked_crc32c(content[:8]),)
        assert struct.unpack("<I", content[12 + size : 16 + size]) == (masked_crc32c(data),)
        found.append(Event.FromString(data))
        found[-1].ClearField("wall_time")
        content = content[16 + size :]
    return found


def add(writer):
    for step in range(20):
        writer.add_scalar("train/loss", 3.0 - step / 10, step)
    writer.add_text("sample", "**今**天", 7)


@pytest.mark.parametrize("purge_step", [None, 5])
def test_it_is_what_tensorboardx_would_write(tmp_path, purge_step):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    ours.mkdir()
    writer, file = SummaryWriter(str(theirs), purge_step=purge_step), EventFile(ours, purge_step)
    for each in (writer, file):
        add(each)
        each.close()
    assert events(ours) == events(theirs)
    assert any(e.session_log.status == SessionLog.START for e in events(ours)) == (purge_step is not None)


def test_what_a_full_disk_refuses_is_written_when_there_is_room(tmp_path, monkeypatch):
    file, plain = EventFile(tmp_path), os.pwrite

    def half_full(handle, data, place):
        plain(handle, data[:50], place)
        raise OSError(errno.ENOSPC, "")

    with monkeypatch.context() as patches:
        patches.setattr(os, "pwrite", half_full)
        add(file)
        assert not file.write()
    assert file.write()
    file.close()
    assert len(events(tmp_path)) == 22
