import bz2
import gzip
import io
import lzma
from collections.abc import Callable

import pytest
import zstandard

from luban.data.unpacking import split_suffix, unpacked

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}
DATA = bytes(range(256)) * 3000


@pytest.mark.parametrize("suffix", PACK)
def test_packed_streams_are_unpacked_one_after_the_other_and_to_the_end(suffix: str) -> None:
    packed = PACK[suffix](DATA)
    assert unpacked(io.BytesIO(packed), suffix).read() == DATA
    assert unpacked(io.BytesIO(packed + packed), suffix).read() == DATA + DATA


@pytest.mark.parametrize("suffix", PACK)
def test_a_stream_that_ends_early_or_is_something_else_is_an_error(suffix: str) -> None:
    for broken in (PACK[suffix](DATA)[:-9], b"something else entirely"):
        with pytest.raises((EOFError, OSError, lzma.LZMAError)):
            unpacked(io.BytesIO(broken), suffix).read()


def test_other_suffixes_leave_the_stream_as_it_is() -> None:
    stream = io.BytesIO(b"x")
    assert unpacked(stream, ".txt") is stream


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a/b.JSONL.gz", (".jsonl", ".gz")),
        ("c.tgz", (".tar", ".gz")),
        ("d.tar.zst", (".tar", ".zst")),
        ("e.txt", (".txt", "")),
        ("f.warc.wet.gz", (".wet", ".gz")),
        ("g", ("", "")),
        ("h.gz", ("", ".gz")),
        (".gz", ("", "")),
    ],
)
def test_a_name_tells_kind_and_packing(name: str, parts: tuple[str, str]) -> None:
    assert split_suffix(name) == parts
