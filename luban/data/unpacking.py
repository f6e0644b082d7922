"""Packed streams opened for reading: gz, zst, bz2 and xz, each checked to its end."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
from pathlib import PurePosixPath
from typing import IO, Any

from luban.data.extras import load_extra

PACKED_SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
_SHORT = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".txz": ".tar.xz", ".tzst": ".tar.zst"}
_STEP_BYTES = 1024  # a step of zst unpacks to 32 MB at most
_WINDOW_BYTES = 1 << 27


def split_suffix(name: str) -> tuple[str, str]:
    """Return the suffix of what is inside, and the packing's own or "", both in lower case.

    split_suffix("a/b.JSONL.gz") -> (".jsonl", ".gz"); split_suffix("c.tgz") -> (".tar", ".gz")
    """
    path = PurePosixPath(name.lower())
    path = PurePosixPath(path.stem + _SHORT.get(path.suffix, path.suffix))
    if path.suffix in PACKED_SUFFIXES:
        return PurePosixPath(path.stem).suffix, path.suffix
    return path.suffix, ""


def unpacked(stream: IO[bytes], suffix: str) -> IO[bytes]:
    """Return the stream unpacked as its suffix says; any other suffix leaves it as it is.

    A stream that ends early raises EOFError when its end is reached.
    """
    packing = split_suffix(f"x{suffix}")[1]
    opened: Any = stream
    if packing == ".gz":
        opened = _Closing(gzip.GzipFile(fileobj=stream, mode="rb"), stream)
    elif packing == ".bz2":
        opened = _Closing(bz2.BZ2File(stream), stream)
    elif packing == ".xz":
        opened = _Closing(lzma.LZMAFile(stream), stream)  # noqa: SIM115
    elif packing == ".zst":
        opened = _Zstandard(stream)
    return opened if opened is stream else io.BufferedReader(opened, 1 << 18)


class _Closing(io.RawIOBase):
    """An unpacking stream that closes what it reads from, too."""

    def __init__(self, stream: Any, below: IO[bytes]):
        self._stream, self._below = stream, below

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return how many bytes it got."""
        data = self._stream.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close what is read from, too."""
        self._stream.close()
        self._below.close()
        super().close()


class _Zstandard(io.RawIOBase):
    """Unpacks zst, frame after frame; the package's own reader says nothing of a stream cut short."""

    def __init__(self, stream: IO[bytes]):
        self._stream, self._packed, self._rest = stream, b"", memoryview(b"")
        self._frame: Any = None
        self._new, self._error = _zstandard()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return how many bytes it got."""
        while not self._rest:
            self._packed = self._packed or self._stream.read(_STEP_BYTES)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError("it ends early")
                return 0
            self._step()
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n

    def _step(self) -> None:
        self._frame = self._frame or self._new()
        try:
            self._rest = memoryview(self._frame.decompress(self._packed))
        except self._error as e:
            raise EOFError(str(e)) from None
        self._packed = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = None

    def close(self) -> None:
        """Close what is read from, too."""
        self._stream.close()
        super().close()


def _zstandard() -> tuple[Any, type[Exception]]:
    """Return what makes a decompressor of one frame, and its error: the standard library's, if it has one."""
    try:
        zstd: Any = importlib.import_module("compression.zstd")  # Python 3.14
    except ModuleNotFoundError:
        package = load_extra("zstandard")
        whole = package.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
        return whole.decompressobj, package.ZstdError
    limit = {zstd.DecompressionParameter.window_log_max: 27}
    return (lambda: zstd.ZstdDecompressor(options=limit)), zstd.ZstdError
