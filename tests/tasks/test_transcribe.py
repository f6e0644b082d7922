import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers

from luban.data.audio import log_mel
from luban.errors import CheckpointError, ConfigError, DataError
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.tasks.transcribe import ENGLISH_VOCABULARY, detect_language, suppressed, transcribe
from luban.tokenizer import Tokenizer

SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|zh|>", "<|haw|>", "<|translate|>", "<|transcribe|>", "<|nospeech|>", "<|notimestamps|>"]  # fmt: skip


def bytes_tokenizer(special=SPECIAL):
    """One token a byte, then Whisper's controls."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([tokenizers.AddedToken(t, special=True) for t in special])
    return Tokenizer(backend, {})


def whisper(vocab_size=ENGLISH_VOCABULARY + 1, **changes):
    sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "ffn_dim": 16, "max_len": 12} | changes
    model = build_model(FAMILIES["whisper"].config("test", vocab_size=vocab_size, **sizes), seed=3).eval()
    with torch.no_grad():
        model.stem.tokens.weight[300:] = 0  # nothing beyond the tokenizer's vocabulary is likely
        model.stem.tokens.weight[:300] *= 20
    return model


@pytest.fixture(scope="module")
def model():
    return whisper()


@pytest.fixture(scope="module")
def sound():
    return 0.1 * torch.randn(8_000, generator=torch.Generator().manual_seed(1))


def by_hand(model, tokenizer, sound, prompt):
    """Greedy text, every step from the start again."""
    ids, mel = [tokenizer.token_id(t) for t in prompt], log_mel([sound])
    rule, n_prompt = suppressed(tokenizer), len(prompt)
    with torch.no_grad():
        while len(ids) < model.config.max_len:
            scores = model(torch.tensor([ids]), source=mel)[0, -1]
            scores[list(rule.always)] = -torch.inf
            if len(ids) == n_prompt:
                scores[list(rule.first)] = -torch.inf
            ids.append(int(scores.argmax()))
            if ids[-1] == tokenizer.token_id("<|endoftext|>"):
                break
    return tokenizer.decode([i for i in ids[n_prompt:] if i < 300]).strip()


@pytest.mark.parametrize(
    ("language", "task"), [("zh", "transcribe"), ("en", "translate"), (None, "transcribe")]
)
def test_the_text_is_the_likeliest_after_language_and_task(language, task, model, sound):
    tokenizer = bytes_tokenizer()
    spoken = language or detect_language(model, tokenizer, sound)
    prompt = ["<|startoftranscript|>", f"<|{spoken}|>", f"<|{task}|>", "<|notimestamps|>"]
    assert transcribe(model, tokenizer, sound, language, task) == by_hand(model, tokenizer, sound, prompt)


def test_a_model_of_english_alone_is_told_neither_language_nor_task(sound):
    model, tokenizer = whisper(vocab_size=400), bytes_tokenizer()
    expected = by_hand(model, tokenizer, sound, ["<|startoftranscript|>", "<|notimestamps|>"])
    assert transcribe(model, tokenizer, sound) == transcribe(model, tokenizer, sound, "en") == expected
    for asked in ({"language": "zh"}, {"task": "translate"}):
        with pytest.raises(ConfigError, match="this model knows English alone"):
            transcribe(model, tokenizer, sound, **asked)


def test_the_likeliest_language_is_the_one_with_the_highest_score(model, sound):
    tokenizer = bytes_tokenizer()
    start = torch.tensor([[tokenizer.token_id("<|startoftranscript|>")]])
    with torch.no_grad():
        scores = model(start, source=log_mel([sound]))[0, -1]
    best = max(("en", "zh", "haw"), key=lambda code: scores[tokenizer.token_id(f"<|{code}|>")])
    assert detect_language(model, tokenizer, sound) == best


def test_what_cannot_be_transcribed_says_why(model, sound):
    tokenizer = bytes_tokenizer()
    with pytest.raises(DataError, match="language = 'xx' is not one of this model's") as error:
        transcribe(model, tokenizer, sound, "xx")
    assert "en, zh, haw" in error.value.fix
    with pytest.raises(DataError, match="language = 'transcribe' is not one"):
        transcribe(model, tokenizer, sound, "transcribe")
    with pytest.raises(ConfigError, match="task = 'sing' is unknown"):
        transcribe(model, tokenizer, sound, "en", task="sing")
    with pytest.raises(CheckpointError, match=r"the tokenizer has no <\|startoftranscript\|>"):
        transcribe(model, bytes_tokenizer(SPECIAL[2:]), sound, "en")
    writer = build_model(FAMILIES["gpt2"].config("tiny", vocab_size=300, dim=16, n_layers=1, n_heads=2))
    with pytest.raises(CheckpointError, match="this gpt2 model does not read sound"):
        transcribe(writer, tokenizer, sound)
