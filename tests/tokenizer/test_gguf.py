import json

import pytest

from luban.errors import CheckpointError
from luban.tokenizer.gguf import read_gguf_tokenizer
from luban.tokenizer.load import load_tokenizer

gguf = pytest.importorskip("gguf", reason="the package that writes GGUF files is not installed")
from tests.models.gguf_files import TOKENS, TYPES, finish, write_tokenizer  # noqa: E402

TEXT = "In 2026, don't 中文！\n\nx  = 1"


@pytest.fixture
def write(tmp_path):
    """write("qwen2", bos=3): a GGUF file that holds only a tokenizer."""

    def build(cut="gpt-2", **changes):
        writer = gguf.GGUFWriter(tmp_path / "t.gguf", "llama")
        write_tokenizer(writer, cut, **changes)
        return finish(writer)

    return build


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        ("gpt-2", ["In", " 2026", ",", " don", "'t", " 中文", "！", "\n", "\n", "x", " ", " =", " 1"]),
        ("smollm", ["In", " ", "2", "0", "2", "6", ",", " don", "'t", " 中文", "！", "\n", "\n", "x", " ", " =", " ", "1"]),
        ("llama-bpe", ["In", " ", "202", "6", ",", " don", "'t", " 中文", "！\n\n", "x", " ", " =", " ", "1"]),
        ("qwen2", ["In", " ", "2", "0", "2", "6", ",", " don", "'t", " 中文", "！\n\n", "x", " ", " =", " ", "1"]),
    ],
)  # fmt: skip
def test_a_text_is_cut_as_the_file_says(cut, words, write):
    backend, _ = read_gguf_tokenizer(write(cut))
    places = [place for _, place in backend.pre_tokenizer.pre_tokenize_str(TEXT)]
    assert [TEXT[start:end] for start, end in places] == words


@pytest.mark.parametrize("cut", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
def test_the_reference_library_finds_the_same_ids_in_the_saved_folder(cut, write, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the reference library is not installed")
    tokenizer = load_tokenizer(write(cut))
    tokenizer.save(tmp_path / "folder")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "folder")
    for text in (TEXT, "ab abc cab <think>12", "🙂 e\u0301 \x00"):
        assert tokenizer.encode(text, special=True) == theirs.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == theirs.decode(
            theirs.encode(text), skip_special_tokens=True
        )
    assert load_tokenizer(tmp_path / "folder").hash == tokenizer.hash
    config = json.loads((tmp_path / "folder" / "tokenizer_config.json").read_text())
    assert config["chat_template"] == "{{ messages[0].content }}"


def test_merges_make_tokens_and_whole_words_are_taken_where_the_kind_says_so(write):
    tokens, types = [*TOKENS, "xyz"], [*TYPES, 1]
    by_merges = load_tokenizer(write("gpt-2", tokens=tokens, types=types))
    assert [by_merges.token(i) for i in by_merges.encode("abc ab xyz")] == [
        "abc",
        "Ġ",
        "ab",
        "Ġ",
        "x",
        "y",
        "z",
    ]
    whole = load_tokenizer(write("llama-bpe", tokens=tokens, types=types))
    assert [whole.token(i) for i in whole.encode("xyz")] == ["xyz"]


def test_letters_and_accents_are_put_together_for_qwen_alone(write):
    apart, together = "e\u0301", "\u00e9"
    qwen = load_tokenizer(write("qwen2"))
    assert qwen.encode(apart) == qwen.encode(together)
    other = load_tokenizer(write("smollm"))
    assert other.encode(apart) != other.encode(together)


def test_control_tokens_stand_for_no_text_and_are_not_typed(write):
    tokenizer = load_tokenizer(write())
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (1, 0, None)
    assert tokenizer.special_ids == {0, 1}
    assert len(tokenizer.encode("<|end|>")) == len("<|end|>")
    assert tokenizer.encode("<think>") == [TOKENS.index("<think>")]
    assert tokenizer.decode([0, TOKENS.index("abc"), 1]) == "abc"
    assert tokenizer.vocab_size == len(TOKENS)


@pytest.mark.parametrize(
    ("cut", "changes", "is_added"),
    [
        ("gpt-2", {}, False),
        ("gpt-2", {"add_bos": True}, True),
        ("llama-bpe", {}, True),
        ("llama-bpe", {"add_bos": False}, False),
    ],
)
def test_a_start_token_is_put_before_a_text_where_the_file_says_so(cut, changes, is_added, write):
    tokenizer = load_tokenizer(write(cut, **changes))
    plain = tokenizer.encode("ab")
    assert tokenizer.encode("ab", special=True) == [1] * is_added + plain


@pytest.mark.parametrize(
    ("cut", "changes", "message"),
    [
        ("gpt-2", {"model": "llama"}, "a tokenizer with tokenizer.ggml.model = 'llama' is not supported"),
        ("tekken", {}, "tokenizer.ggml.pre = 'tekken' is not supported"),
        ("gpt-2", {"tokens": [*TOKENS[:-1], "ab"]}, "the vocabulary holds 'ab' twice"),
        ("gpt-2", {"merges": ["a b c"]}, "the merge ('a', 'b', 'c') is not of two tokens to a third"),
        ("gpt-2", {"merges": ["a q"]}, "the merge ('a', 'q') is not of two tokens to a third"),
        (
            "gpt-2",
            {"types": TYPES[1:]},
            f"{len(TYPES) - 1} types of tokens do not match {len(TOKENS)} tokens",
        ),
        ("gpt-2", {"bos": 10**6}, "tokenizer.ggml.bos_token_id = 1000000 is outside the vocabulary"),
    ],
)
def test_what_cannot_be_a_tokenizer_says_why(cut, changes, message, write):
    with pytest.raises(CheckpointError) as error:
        load_tokenizer(write(cut, **changes))
    assert message in str(error.value)
