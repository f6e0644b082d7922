import math
import struct
import sys
import wave

import numpy as np
import pytest
import torch

from luban.data.audio import SAMPLE_RATE, log_mel, mel_filters, read_audio, resample
from luban.errors import DataError, MissingExtra
from tests.clips import clips


def noise(n_samples, seed=1):
    return 0.1 * torch.randn(n_samples, generator=torch.Generator().manual_seed(seed))


def tone(hertz, rate, seconds=0.5):
    return torch.sin(
        2 * math.pi * hertz * torch.arange(int(rate * seconds), dtype=torch.float64) / rate
    ).float()


@pytest.fixture
def extractor():
    transformers = pytest.importorskip("transformers", reason="the reference library is not installed")
    return transformers.WhisperFeatureExtractor


@pytest.fixture
def write_wav(tmp_path):
    """write_wav(data, n_channels=2, width=3): a wav file of these bytes."""

    def write(data, n_channels=1, width=2, rate=SAMPLE_RATE):
        with wave.open(str(tmp_path / "a.wav"), "wb") as file:
            file.setnchannels(n_channels)
            file.setsampwidth(width)
            file.setframerate(rate)
            file.writeframes(data)
        return tmp_path / "a.wav"

    return write


@pytest.mark.parametrize("n_mels", [80, 128])
def test_spectrograms_are_those_of_the_reference_library(n_mels, extractor):
    sounds = [noise(480_000), noise(16_000, 2), noise(1), torch.zeros(5_000), tone(440, SAMPLE_RATE)]
    theirs = extractor(feature_size=n_mels)([s.numpy() for s in sounds], sampling_rate=SAMPLE_RATE)
    ours = log_mel(sounds, n_mels)
    assert ours.shape == (5, n_mels, 3000)
    torch.testing.assert_close(ours, torch.from_numpy(theirs["input_features"]))


def test_spectrograms_of_speech_are_theirs(extractor, tmp_path):
    for clip in clips("speech_misc", tmp_path):
        if clip.path.suffix == ".flac":
            pytest.importorskip("soundfile", reason="flac needs soundfile")
        sound = read_audio(clip.path)
        theirs = extractor()(sound.numpy(), sampling_rate=SAMPLE_RATE)["input_features"]
        torch.testing.assert_close(log_mel([sound]), torch.from_numpy(theirs))


def test_a_sound_alone_and_among_others_has_one_spectrogram():
    loud, soft = 5 * noise(16_000), 0.01 * noise(9_000, 2)
    together = log_mel([loud, soft])
    torch.testing.assert_close(together[1:], log_mel([soft]))


def test_each_mel_band_has_the_same_area():
    area = mel_filters(80).sum(1) * SAMPLE_RATE / 400
    torch.testing.assert_close(area[40:], torch.ones(40), rtol=0.1, atol=0)


@pytest.mark.parametrize("old", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_a_tone_resampled_is_the_tone_sampled_anew(old):
    ours, expected = resample(tone(1234.5, old), old, SAMPLE_RATE), tone(1234.5, SAMPLE_RATE)
    assert abs(len(ours) - len(expected)) <= 1
    torch.testing.assert_close(ours[500:-500], expected[500 : len(ours) - 500], rtol=0, atol=1e-4)


def test_what_the_new_rate_cannot_hold_is_left_out_and_a_constant_stays():
    assert resample(tone(10_000, 48_000), 48_000, SAMPLE_RATE)[500:-500].abs().max() < 0.003
    torch.testing.assert_close(resample(torch.ones(4_000), 44_100, 16_000)[200:-200], torch.ones(1052))
    assert torch.equal(resample(noise(100), 16_000, 16_000), noise(100))


def test_resampling_is_close_to_scipys():
    signal = pytest.importorskip("scipy.signal", reason="scipy is the reference")
    sound = resample(noise(8_000), 8_000, 22_050)  # holds nothing above 4 kHz
    theirs = signal.resample_poly(sound.numpy(), 320, 441, window=("kaiser", 12.0))
    torch.testing.assert_close(
        resample(sound, 22_050, SAMPLE_RATE)[500:-500], torch.from_numpy(theirs)[500:-500], rtol=0, atol=2e-3
    )


@pytest.mark.parametrize(("width", "atol"), [(1, 8e-3), (2, 4e-5), (3, 2e-7), (4, 1e-7)])
def test_whole_numbers_of_every_width_are_read(width, atol, write_wav):
    sound = noise(500).clamp(-0.99, 0.99)
    if width == 1:
        data = ((sound + 1) * 128).to(torch.uint8).numpy().tobytes()
    else:
        whole = (sound.double() * 2 ** (8 * width - 1)).round().long().numpy()
        data = whole.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
    torch.testing.assert_close(read_audio(write_wav(data, width=width)), sound, rtol=0, atol=atol)


def test_channels_are_averaged_and_other_rates_become_16_khz(write_wav):
    left, right = (tone(f, 8_000) for f in (300, 500))
    stereo = (torch.stack([left, right], 1) * 16384).short().numpy().astype("<i2").tobytes()
    sound = read_audio(write_wav(stereo, n_channels=2, rate=8_000))
    expected = (tone(300, SAMPLE_RATE) + tone(500, SAMPLE_RATE)) / 4
    torch.testing.assert_close(sound[300:-300], expected[300:-300], rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "float.wav"])
def test_other_files_are_read_by_soundfile(name, tmp_path):
    soundfile = pytest.importorskip("soundfile", reason="other kinds of sound need soundfile")
    sound = tone(440, SAMPLE_RATE) / 2
    soundfile.write(tmp_path / name, sound.numpy(), SAMPLE_RATE, subtype="FLOAT" if "float" in name else None)
    read = read_audio(tmp_path / name)
    torch.testing.assert_close(read, sound, rtol=0, atol=0.05 if "ogg" in name else 1e-4)


def test_a_flac_file_without_the_package_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtra, match=r"pip install 'luban\[speech\]'"):
        read_audio(tmp_path / "a.flac")


def test_a_wav_file_cut_off_anywhere_is_an_error(write_wav):
    path = write_wav(noise(50).mul(9000).short().numpy().tobytes())
    whole = path.read_bytes()
    for n_bytes in range(len(whole)):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(DataError, match="is no sound file, or is cut off|holds no sound"):
            read_audio(path)


def test_a_flac_file_cut_off_is_an_error(tmp_path):
    soundfile = pytest.importorskip("soundfile", reason="flac needs soundfile")
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(50_000).numpy(), SAMPLE_RATE)
    whole = path.read_bytes()
    for n_bytes in (0, 3, 40, len(whole) // 2, len(whole) - 1000):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(DataError, match="is no sound file, or is cut off|holds no sound"):
            read_audio(path)


def test_a_wav_file_whose_length_was_not_known_is_read_to_its_end(write_wav):
    path = write_wav(noise(100).mul(9000).short().numpy().tobytes())
    expected, data = read_audio(path), bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    path.write_bytes(data)
    assert torch.equal(read_audio(path), expected)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (24, 0, "is said to have 0 samples a second"),
        (24, 1 << 31, f"is said to have {1 << 31} samples a second"),
        (40, 1 << 31, f"tells of {1 << 31} bytes of sound, and the file has 244"),
    ],
)
def test_a_header_that_cannot_be_is_named(at, value, message, write_wav):
    path = write_wav(bytes(200))
    data = bytearray(path.read_bytes())
    data[at : at + 4] = struct.pack("<I", value)
    data[4:8] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_audio(path)


def test_no_sound_and_too_much_are_said(write_wav, tmp_path):
    with pytest.raises(DataError, match="holds no sound"):
        read_audio(write_wav(b""))
    with pytest.raises(DataError, match="does not exist"):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(DataError, match=r"a sound of 31\.0 s is longer than the 30 s"):
        log_mel([torch.zeros(31 * SAMPLE_RATE)])


def test_samples_that_are_no_numbers_are_refused(tmp_path):
    soundfile = pytest.importorskip("soundfile", reason="floats in wav files need soundfile")
    soundfile.write(tmp_path / "a.wav", np.array([0.0, np.nan, 1.0]), SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(DataError, match="infinite or not a number"):
        read_audio(tmp_path / "a.wav")
