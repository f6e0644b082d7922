"""Fingerprints of texts by winnowing, in native code or else in numpy: texts that share enough share one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from luban.native.build import is_available, library

Places = NDArray[np.int64]
BYTE, MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


def winnow(data: NDArray[np.uint8], offsets: Places, length: int, window: int) -> tuple[Places, Places]:
    """Return fingerprints and, for each, its text and its place there in bytes (n, 2).

    Texts (data[offsets[i]:offsets[i + 1]]) that share length + window - 1 bytes in a row share the
    fingerprint of `length` of them.
    """
    if not is_available():
        return _winnow(data, offsets, length, window)
    room = int(offsets[-1] - offsets[0]) + 1
    hashes, places = np.empty(room, np.int64), np.empty((room, 2), np.int64)
    outputs = hashes.ctypes.data, places.ctypes.data
    n = library().luban_winnow(
        data.ctypes.data, offsets.ctypes.data, len(offsets) - 1, length, window, *outputs
    )
    return hashes[:n].copy(), places[:n].copy()


def _winnow(data: NDArray[np.uint8], offsets: Places, length: int, window: int) -> tuple[Places, Places]:
    hashes: list[int] = []
    places: list[tuple[int, int]] = []
    for t in range(len(offsets) - 1):
        values = _hashes(data[offsets[t] : offsets[t + 1]], length)
        chosen = -1
        for end in range(window, len(values) + 1):
            before = chosen
            if chosen < end - window:
                last = values[end - window : end][::-1]
                chosen = end - 1 - int(np.argmin(last))
            elif values[end - 1] < values[chosen]:
                chosen = end - 1
            if chosen != before:
                hashes.append(int(values[chosen].view(np.int64)))
                places.append((t, chosen))
    return np.array(hashes, np.int64), np.array(places, np.int64).reshape(-1, 2)


def _hashes(text: NDArray[np.uint8], length: int) -> NDArray[np.uint64]:
    """Return the polynomial hash of each run of `length` bytes, modulo 2^64."""
    size = max(0, len(text) - length + 1)
    rolling = np.zeros(size, np.uint64)
    for i in range(length if size else 0):
        rolling = rolling * BYTE + text[i : i + size]
    return (rolling ^ (rolling >> np.uint64(32))) * MIX
