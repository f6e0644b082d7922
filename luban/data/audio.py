"""Sound files to what Whisper reads: one channel at 16 kHz, then a log-mel spectrogram."""

from __future__ import annotations

import math
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from luban.data.extras import load_extra
from luban.errors import DataError

SAMPLE_RATE = 16_000
"""Samples a second of all that is returned here."""
MAX_SECONDS = 30
"""What Whisper reads at once; shorter sounds are filled up with silence."""
RATES = (1_000, 768_000)
FRAME, HOP, MAX_HZ = 400, 160, 8_000
N_CROSSINGS, ROLL_OFF = 32, 0.95
"""Reach of the resampling filter in zero crossings, and the share of the band that it lets through."""
BLOCK = 1 << 20
UNKNOWN_LENGTH = 0xFFFFFFFF - 8
"""A wav header's size where the length was not known when it was written."""
FIX = "convert it: ffmpeg -i IN -ar 16000 -ac 1 OUT.wav"


def read_audio(path: Path) -> Tensor:
    """Read a sound file as one channel at 16 kHz: (n_samples,), from -1 to 1. Channels are averaged.

    Plain wav files need nothing but Python; flac, ogg, mp3 and other kinds of wav need the extra
    `speech`.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist", fix="check the path")
    samples, rate = _read_wav(path) if path.suffix.lower() == ".wav" else _read_other(path)
    if not RATES[0] <= rate <= RATES[1]:
        raise DataError(f"{path} is said to have {rate} samples a second", fix=FIX)
    if not len(samples):
        raise DataError(f"{path} holds no sound", fix="leave it out, or copy it again from its source")
    sound = torch.from_numpy(samples).mean(1)
    if not bool(sound.isfinite().all()):
        raise DataError(f"{path} holds samples that are infinite or not a number", fix=FIX)
    return resample(sound, rate, SAMPLE_RATE)


def resample(sound: Tensor, old: int, new: int) -> Tensor:
    """Change the samples a second of (n,) from `old` to `new`; what the new rate cannot hold is left out.

    Source: band-limited interpolation, J. O. Smith, "Digital Audio Resampling", with a Hann window.
    """
    common = math.gcd(old, new)
    old, new = old // common, new // common
    if old == new:
        return sound
    cutoff = ROLL_OFF * min(1.0, new / old)
    width = math.ceil(N_CROSSINGS / cutoff)
    padded = functional.pad(sound, (width, width + old))
    taps = torch.arange(-width, width + 1, dtype=torch.float64)
    result = sound.new_empty(math.ceil(len(sound) * new / old))
    for phase in range(min(new, len(result))):  # every new-th sample lies alike between two old ones
        start, left = divmod(phase * old, new)
        distance = taps - left / new
        weights = torch.sinc(cutoff * distance) * torch.cos(distance * (math.pi / 2 / (width + 1))) ** 2
        part = result[phase::new]
        part[:] = padded[start:].unfold(0, len(taps), old)[: len(part)] @ (weights / weights.sum()).to(sound)
    return result


def log_mel(sounds: Sequence[Tensor], n_mels: int = 80) -> Tensor:
    """Return Whisper's spectrogram of sounds at 16 kHz: (n,) each -> (B, M, 3000), a frame each 10 ms.

    Source: arXiv:2212.04356 section 2.2.
    """
    longest, n_samples = max(map(len, sounds)), MAX_SECONDS * SAMPLE_RATE
    if longest > n_samples:
        raise DataError(
            f"a sound of {longest / SAMPLE_RATE:.1f} s is longer than the {MAX_SECONDS} s read at once",
            fix="cut it, best where nobody speaks",
        )
    batch = torch.stack([functional.pad(sound.float(), (0, n_samples - len(sound))) for sound in sounds])
    spectrum = torch.stft(batch, FRAME, HOP, window=torch.hann_window(FRAME), return_complex=True)
    power = spectrum[..., :-1].abs() ** 2
    logs = (mel_filters(n_mels) @ power).clamp(min=1e-10).log10()
    logs = torch.maximum(logs, logs.amax((1, 2), keepdim=True) - 8)
    return (logs + 4) / 4


def mel_filters(n_mels: int) -> Tensor:
    """Return the weight of each frequency in each mel band, (M, 201): triangles of equal area.

    Source: M. Slaney, "Auditory Toolbox" (1998): bands even in Hz up to 1 kHz and in its logarithm above.
    """
    step, knee = 200 / 3, 1_000.0
    ratio = math.log(6.4) / 27
    top = knee / step + math.log(MAX_HZ / knee) / ratio
    mels = torch.linspace(0, top, n_mels + 2, dtype=torch.float64)
    hertz = torch.where(
        mels < knee / step, mels * step, knee * torch.exp(ratio * (mels - knee / step).clamp(min=0))
    )
    frequencies = torch.linspace(0, SAMPLE_RATE / 2, FRAME // 2 + 1, dtype=torch.float64)
    low, middle, high = (hertz[i : n_mels + i, None] for i in range(3))
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return (torch.minimum(rising, falling).clamp(min=0) * 2 / (high - low)).float()


def _read_wav(path: Path) -> tuple[np.ndarray[Any, Any], int]:
    try:
        with wave.open(str(path), "rb") as file:
            n_channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            n_bytes, n_held = file.getnframes() * n_channels * width, path.stat().st_size
            is_open = n_bytes > UNKNOWN_LENGTH - BLOCK
            if n_bytes > n_held and not is_open:
                raise _cut(path, f"its header tells of {n_bytes} bytes of sound, and the file has {n_held}")
            data = file.readframes(min(n_bytes, n_held) // (n_channels * width))
    except wave.Error as e:
        if "unknown format" in str(e):  # floats, and what else wav files may hold
            return _read_other(path)
        raise _cut(path, str(e)) from e
    except EOFError as e:
        raise _cut(path, "it ends within its header") from e
    if len(data) < n_bytes and not is_open:
        raise _cut(path, f"its header tells of {n_bytes} bytes of sound, and it has {len(data)}")
    return _numbers(data[: len(data) // (n_channels * width) * n_channels * width], width, n_channels), rate


def _numbers(data: bytes, width: int, n_channels: int) -> np.ndarray[Any, Any]:
    """Return samples of 1, 2, 3 or 4 bytes as floats from -1 to 1, (n, channels)."""
    if width == 1:
        samples = np.frombuffer(data, np.uint8).astype(np.float32) / 128 - 1
    elif width == 3:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = (wide.view("<i4")[:, 0] / 2**31).astype(np.float32)
    else:
        samples = (np.frombuffer(data, f"<i{width}") / 2 ** (8 * width - 1)).astype(np.float32)
    return samples.reshape(-1, n_channels)


def _read_other(path: Path) -> tuple[np.ndarray[Any, Any], int]:
    soundfile = load_extra("soundfile", "speech")
    blocks: list[np.ndarray[Any, Any]] = []
    try:
        with soundfile.SoundFile(path) as file:  # in blocks: the length that it claims may be anything
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block)
            n_frames, rate = file.frames, file.samplerate
    except (soundfile.SoundFileError, RuntimeError) as e:
        raise _cut(path, str(e)) from e
    if (n_read := sum(map(len, blocks))) < n_frames:
        raise _cut(path, f"its header tells of {n_frames} samples, and it has {n_read}")
    return np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32), rate


def _cut(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} is no sound file, or is cut off: {why}", fix="copy it again from its source; or " + FIX
    )
