import json
import stat
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")

from luban.data.documents import read_documents, write_documents
from luban.data.licences import AllowedLicence
from luban.data.opt_out import read_opt_outs
from luban.data.protect import protect
from luban.data.protect_settings import ProtectSettings
from luban.errors import ConfigError, DataError
from luban.files import hash_bytes, read_jsonl
from luban.log import Log
from luban.records import Document, Drop

RAW = ["ann@site.org", "13812345678"]
TEXTS = [f"Write to {RAW[0]} please.", f"我的手机号是{RAW[1]}，有事找我。", "Nothing is in here at all."]


def run(tmp_path: Path, rows: list[dict[str, Any]], opt_out: str = "", **changes: Any) -> dict[str, Any]:
    folder, out = tmp_path / "documents", tmp_path / "out"
    folder.mkdir(parents=True)
    out.mkdir()
    full = [
        {"id": f"d{i}", "source": "a.txt", "licence": "MIT", "language": "en", "time": "", **row}
        for i, row in enumerate(rows)
    ]
    write_documents(folder, full)
    inputs = {"documents": folder}
    if opt_out:
        inputs["opt_out"] = tmp_path / f"opt-out-{tmp_path.name}.txt"
        inputs["opt_out"].write_text(opt_out, "utf-8")
    return protect(ProtectSettings(workers=1, **changes), inputs, out, Log(quiet=True))


def kept(tmp_path: Path) -> list[dict[str, Any]]:
    return list(read_documents(tmp_path / "out"))


def dropped(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "out" / "dropped.jsonl"
    return {row["id"]: row for row in read_jsonl(path)} if path.exists() else {}


def test_texts_are_masked_and_counted_by_type(tmp_path: Path) -> None:
    facts = run(tmp_path, [{"text": t} for t in TEXTS], column=True)
    rows = kept(tmp_path)
    assert [row["text"] for row in rows] == [
        "Write to <EMAIL> please.", "我的手机号是<PHONE>，有事找我。", TEXTS[2],
    ]  # fmt: skip
    assert [row["personal_data"] for row in rows] == ["email 1", "phone 1", None]
    assert facts["personal_data"] == {"email": 1, "phone": 1}
    assert facts["counts"]["documents_in"] == facts["counts"]["documents_kept"] == 3


def test_placeholders_follow_the_language_of_the_document(tmp_path: Path) -> None:
    run(tmp_path, [{"text": TEXTS[0]}, {"text": TEXTS[1], "language": "zh"}], language="document")
    assert [row["text"] for row in kept(tmp_path)] == [
        "Write to <EMAIL> please.",
        "我的手机号是[电话]，有事找我。",
    ]
    assert "personal_data" not in kept(tmp_path)[0]


def test_nothing_that_is_written_shows_raw_values(tmp_path: Path) -> None:
    rows = [{"text": t, "licence": "GPL-3.0-only", "title": RAW[0]} for t in TEXTS] + [
        {"text": "Free text here."}
    ]
    facts = run(tmp_path, rows, deny_licences=("GPL-3.0",), columns=("title",))
    assert len(dropped(tmp_path)) == 3
    written = json.dumps([facts, kept(tmp_path), dropped(tmp_path)], ensure_ascii=False)
    assert not [value for value in RAW if value in written]


def test_pseudonyms_need_their_key_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": TEXTS[0]}, {"text": TEXTS[0]}]
    with pytest.raises(ConfigError, match="LUBAN_PSEUDONYM_KEY"):
        run(tmp_path / "a", rows, mode="pseudonym")
    monkeypatch.setenv("LUBAN_PSEUDONYM_KEY", "a secret of the tests")
    facts = run(tmp_path / "b", rows, mode="pseudonym")
    texts = [row["text"] for row in kept(tmp_path / "b")]
    assert texts[0] == texts[1]
    assert "@example.com" in texts[0]
    assert "a secret" not in json.dumps(facts)


@pytest.mark.parametrize(
    ("licence", "allow", "deny", "is_kept"),
    [
        ("MIT", ("MIT",), (), True),
        ("mit license", ("MIT",), (), True),
        ("Apache 2.0", ("Apache-2.0",), (), True),
        ("GPL-3.0-or-later", (), ("GPL-3.0",), False),
        ("GPL-3.0-only OR MIT", (), ("GPL-*",), True),
        ("GPL-3.0-only AND MIT", (), ("GPL-*",), False),
        ("(GPL-2.0-only OR MIT) AND ISC", ("MIT", "ISC"), (), True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ("GPL-2.0",), (), True),
        ("CC-BY-SA-4.0", ("CC-BY-*",), (), True),
        ("cc by-nc 4.0", ("CC-BY-*",), (), False),
        ("CC-BY-ND-4.0", ("CC-BY-*",), (), False),
        ("CC-BY-NC-4.0", ("CC-BY-NC-*",), (), True),
        ("CC-BY-NC-ND-4.0", ("CC-BY-NC-*",), (), False),
        ("CC-BY-NC-4.0", (), ("CC-BY-*",), False),
        ("CC BY-SA 4.0", ("CC-BY-SA-4.0",), (), True),
        ("proprietary", ("MIT",), (), False),
        ("MIT OR", ("MIT",), (), False),
        ("", ("MIT",), (), True),
        ("NOASSERTION", ("MIT",), (), True),
    ],
)
def test_licences_are_read_as_expressions(
    licence: str, allow: tuple[str, ...], deny: tuple[str, ...], is_kept: bool
) -> None:
    result = AllowedLicence(allow, deny)(Document("1", "x", "a", licence))
    assert isinstance(result, Document) is is_kept


def test_unknown_licences_are_dropped_where_they_will_not_do() -> None:
    result = AllowedLicence(keep_unknown=False)(Document("1", "x", "a", "unknown"))
    assert isinstance(result, Drop)
    assert result.reason == "licence unknown"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("domain: site.org", {"d0", "d1"}),
        ("https://www.site.org/a/", {"d0"}),
        ("source: books/*", {"d2"}),
        ("sha256: " + hash_bytes(b"Some text about mail@x.org."), {"d3"}),
        ("sentence: 他说。今天不行！", {"d4"}),
        ("# nothing\n\ndomain: other.org", set()),
    ],
)
def test_owners_who_said_no_are_left_out_without_their_text(
    tmp_path: Path, entry: str, expected: set[str]
) -> None:
    rows = [
        {"text": "First page of a site.", "source": "http://site.org/a/b?x=1"},
        {"text": "Second page of a site.", "source": "https://blog.site.org/"},
        {"text": "A book with text.", "source": "books/one.txt"},
        {"text": "Some text about mail@x.org."},
        {"text": "天气好。他说。今天不行！明天去。"},
        {"text": "This stays.", "source": "https://mysite.org/"},
    ]
    facts = run(tmp_path, rows, opt_out=entry)
    assert set(dropped(tmp_path)) == expected
    assert all(row["reason"] == "opted out" and row["text"] == "" for row in dropped(tmp_path).values())
    assert facts["counts"]["documents_kept"] == len(rows) - len(expected)


def test_an_entry_of_no_kind_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("domain: a.org\njust words\n", "utf-8")
    with pytest.raises(DataError, match="list.txt:2"):
        read_opt_outs(path)


def test_canaries_become_documents_of_the_train_split(tmp_path: Path) -> None:
    rows = [{"text": "A text to keep.", "split": s} for s in ("train", "test")]
    facts = run(tmp_path, rows, canaries=3, canary_repeats=2, canary_format="编号是######。")
    listed = tmp_path / "out" / "canaries.jsonl"
    assert stat.S_IMODE(listed.stat().st_mode) == 0o600
    canaries = {row["canary"] for row in read_jsonl(listed)}
    planted = [row for row in kept(tmp_path) if row["source"] == "canaries"]
    assert len(canaries) == 3
    assert sorted(row["text"] for row in planted) == sorted([*canaries, *canaries])
    assert {row["split"] for row in planted} == {"train"}
    assert facts["counts"]["canaries_planted"] == facts["counts"]["documents_planted"] == 6


def test_canaries_inside_documents_touch_only_the_train_split(tmp_path: Path) -> None:
    rows = [{"text": f"Text {i}.\nIt has lines.", "split": s} for i, s in enumerate(["train", "test"] * 4)]
    run(tmp_path / "a", rows, canaries=2, canary_repeats=2, canary_place="inside")
    run(tmp_path / "b", rows, canaries=2, canary_repeats=2, canary_place="inside")
    assert kept(tmp_path / "a") == kept(tmp_path / "b")
    listed = list(read_jsonl(tmp_path / "a" / "out" / "canaries.jsonl"))
    for row in listed:
        hosts = [r for r in kept(tmp_path / "a") if row["canary"] in r["text"].split("\n")]
        assert len(hosts) == row["planted"] == 2
        assert {r["split"] for r in hosts} == {"train"}
    with pytest.raises(ConfigError, match="do not fit"):
        run(tmp_path / "c", rows, canaries=9, canary_place="inside")


def test_guessable_canaries_and_unknown_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="six"):
        ProtectSettings(canaries=1, canary_format="number ##")
    with pytest.raises(ConfigError, match="telephone"):
        run(tmp_path, [{"text": "A text."}], types=("telephone",))
