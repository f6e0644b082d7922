"""Training reads the train split only, weighs languages equally and reports what a token is worth."""

from pathlib import Path

import pytest

from luban.errors import DataError
from luban.log import Log
from luban.tokenizer import load_tokenizer
from luban.tokenizer.settings import TokenizerSettings
from luban.tokenizer.train import sample_shares, train_bpe, train_joint_bpe, train_tokenizer

EN = "the quick brown fox jumps over the lazy dog again and again "
ZH = "今天天气很好，我们一起去公园散步，看见很多小朋友。"


def write(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    table = [
        {"id": str(i), "text": t, "source": "s", "licence": "l", "language": lang, "split": split}
        for i, (t, lang, split) in enumerate(rows)
    ]
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(table), folder / "documents-00000.parquet")
    return folder


def train(settings: TokenizerSettings, documents: Path, out: Path) -> dict:
    out.mkdir(exist_ok=True)
    return train_tokenizer(settings, {"documents": documents}, out, Log(quiet=True))


def test_only_the_train_split_decides_the_tokens(tmp_path: Path) -> None:
    rows = [(EN + str(i), "en", "train") for i in range(20)]
    one = write(tmp_path / "one", [*rows, (ZH * 9, "zh", "test")])
    two = write(tmp_path / "two", [*rows, ("zebra zebra " * 99, "en", "validation")])
    settings = TokenizerSettings(vocab_size=300)
    first = train(settings, one, tmp_path / "a")
    assert first["hash"] == train(settings, two, tmp_path / "b")["hash"]
    assert first["counts"] == {"vocab_size": 300, "documents": 20, "bytes": 20 * len(EN) + 10 + 20}
    assert load_tokenizer(tmp_path / "a").vocab_size == 300


def test_bytes_per_token_are_reported_for_each_language(tmp_path: Path) -> None:
    rows = [(EN, "en", "train"), (ZH, "zh", "train")] * 10 + [(EN * 2, "en", "test")]
    facts = train(TokenizerSettings(vocab_size=400), write(tmp_path / "d", rows), tmp_path / "t")
    tokenizer = load_tokenizer(tmp_path / "t")
    unseen = len((EN * 2).encode()) / len(tokenizer.encode(EN * 2))
    assert facts["bytes_per_token"]["en"] == pytest.approx(unseen, abs=1e-3)
    assert set(facts["bytes_per_token"]) == {"en", "zh"}
    assert facts["bytes_per_token"]["zh"] > 3  # a byte-level token covers more than one Chinese character


def test_a_small_language_weighs_as_much_as_a_large_one(tmp_path: Path) -> None:
    rows = [(f"{EN}{i}", "en", "train") for i in range(90)] + [(f"{ZH}{i}", "zh", "train") for i in range(9)]
    documents = write(tmp_path / "d", rows)
    taken = train(TokenizerSettings(vocab_size=300), documents, tmp_path / "a")["trained_on"]
    assert taken["zh"]["documents"] == 9
    assert taken["en"]["bytes"] == pytest.approx(taken["zh"]["bytes"], rel=0.15)
    free = TokenizerSettings(vocab_size=300, balance_languages=False)
    assert train(free, documents, tmp_path / "b")["trained_on"]["en"]["documents"] == 90


def test_a_rare_language_is_used_whole_and_sets_no_measure() -> None:
    shares = sample_shares({"en": 9000, "zh": 900, "de": 3}, TokenizerSettings())
    assert shares == {"en": 0.1, "zh": 1.0, "de": 1.0}
    limited = sample_shares({"en": 9000}, TokenizerSettings(max_bytes=900))
    assert limited == {"en": 0.1}


def test_training_twice_gives_the_same_tokenizer() -> None:
    assert (
        train_bpe([EN, ZH] * 3, 400, template=False).hash == train_bpe([EN, ZH] * 3, 400, template=False).hash
    )


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a documents folder"):
        train(TokenizerSettings(), tmp_path, tmp_path / "t")
    documents = write(tmp_path / "d", [(EN, "en", "test")])
    with pytest.raises(DataError, match="has no documents to train on"):
        train(TokenizerSettings(), documents, tmp_path / "t")


def test_a_joint_tokenizer_spells_a_word_alike_wherever_it_stands_and_ends_what_is_read():
    tokenizer = train_joint_bpe(["Tom sees Tom.", "我看 Tom。", "Größe"] * 5, 320)
    first, *_, last = tokenizer.encode("Tom sees Tom")
    assert first == last
    for text in ("Tom sees Tom.", "我看 Tom。", "„Größe“ 😀", ""):
        ids = tokenizer.encode(text, special=True)
        assert ids[-1] == tokenizer.eos_id
        assert tokenizer.decode(ids) == text
    assert tokenizer.piece(tokenizer.encode("我看")[0])[0] != " "


def test_chinese_characters_stay_apart_where_asked():
    texts = ["北京大学 hello hello"] * 5
    together = train_bpe(texts, 300, template=False).encode_batch(["北京大学hello"])[0]
    apart = train_bpe(texts, 300, template=False, han_alone=True)
    assert len(together) < 5
    assert [apart.piece(i) for i in apart.encode("北京大学 hello")] == [*"北京大学", " hello"]
    assert apart.decode(apart.encode("北京 hello 龘\n")) == "北京 hello 龘\n"
