"""Tokens in columns: CoNLL 2003 and CoNLL-U, there and back."""

import io
from pathlib import Path
from typing import Any

import pytest

from luban.data.convert.conll import ConlluWriter, ConllWriter, read_conll, read_conllu
from luban.data.convert.labels import read_labelled
from luban.data.encoding import Unreadable
from tests.data.convert.conftest import Convert, rejects_of, rows_of

CONLL = """\
-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC
call NN I-NP O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER

-DOCSTART- -X- -X- O

北 _ _ B-LOC
京 _ _ I-LOC
好 _ _ O

"""
CONLLU = """\
# sent_id = a-1
# text = They buy books.
1\tThey\tthey\tPRON\tPRP\tCase=Nom|Number=Plur\t2\tnsubj\t_\t_
2\tbuy\tbuy\tVERB\tVBP\t_\t0\troot\t_\t_
3\tbooks\tbook\tNOUN\tNNS\tNumber=Plur\t2\tobj\t_\tNER=B-THING|SpaceAfter=No
4\t.\t.\tPUNCT\t.\t_\t2\tpunct\t_\t_

"""


def rows(text: str, read: Any = read_conll) -> list[Any]:
    return [row for _, row in read(io.StringIO(text))]


def written(given: list[Any], writer: Any) -> str:
    file = io.StringIO()
    to = writer(file)
    for row in given:
        to.add_record(read_labelled(row))
    return file.getvalue()


def test_both_come_back_letter_by_letter() -> None:
    assert written(rows(CONLL), ConllWriter) == CONLL
    assert written(rows(CONLLU, read_conllu), ConlluWriter) == CONLLU


def test_a_sentence_becomes_a_text_with_spans_spaced_as_its_language_is() -> None:
    eu, _, zh = rows(CONLL)
    assert eu["text"] == "EU rejects German call"
    assert eu["spans"] == [{"start": 0, "end": 2, "type": "ORG"}, {"start": 11, "end": 17, "type": "MISC"}]
    assert (zh["text"], zh["spans"]) == ("北京好", [{"start": 0, "end": 2, "type": "LOC"}])
    (u,) = rows(CONLLU, read_conllu)
    assert (u["text"], u["sent_id"]) == ("They buy books.", "a-1")
    assert u["columns"]["lemma"] == ["they", "buy", "book", "."]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O B-A I-A B-A O", ["b c", "d"]),
        ("I-A I-A I-B O I-B", ["a b", "c", "e"]),  # IOB1
        ("S-A B-A E-A O S-B", ["a", "b c", "e"]),  # BIOES
        ("U-A B-A L-A I-A O", ["a", "b c", "d"]),  # BILOU
        ("B-A I-B B-B I-A O", ["a", "b", "c", "d"]),
    ],
)
def test_every_scheme_of_tags_is_read_as_conlleval_reads_it(tags: str, spans: list[str]) -> None:
    (row,) = rows("\n".join(f"{w} {t}" for w, t in zip("abcde", tags.split(), strict=True)))
    assert [row["text"][s["start"] : s["end"]] for s in row["spans"]] == spans


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a O\nb\n", "1 and 2 columns in one sentence"),
        ("a\n", "1 columns in one sentence"),
        ("a X-PER\n", "the tag 'X-PER' is no BIO or BIOES tag"),
        ("a B-\n", "the tag 'B-' is no BIO"),
    ],
)
def test_a_broken_sentence_is_set_aside_and_the_next_is_read(text: str, reason: str) -> None:
    broken, good = rows(f"{text}\nok O\n")
    assert isinstance(broken, Unreadable)
    assert reason in str(broken)
    assert good["text"] == "ok"


def test_a_contraction_is_set_aside_for_its_words_are_no_parts_of_a_text() -> None:
    blank = "\t_" * 8
    found = rows(
        f"1-2\tdu{blank}\n1\tde{blank}\n2\tle{blank}\n\n1\tle{blank}\n1.1\tx{blank}\n\n1\tle\n", read_conllu
    )
    assert "the words 1-2 are a contraction, 'du'" in str(found[0])
    assert found[1]["text"] == "le"
    assert "a line has 2 columns; CoNLL-U has 10" in str(found[2])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"spans": [(0, 3, "A"), (2, 5, "B")]}, "the spans 0-3 and 2-5 overlap"),
        (
            {"spans": [(0, 2, "A")], "tokens": [[0, 3], [4, 8]]},
            "the span 0-2 does not begin and end with a token",
        ),
        ({"spans": [(0, 3, "a b")]}, "the label 'a b' has a space"),
        ({"spans": [], "tokens": [[0, 3]]}, "a part of the text is in none of its tokens"),
        (
            {"spans": [], "tokens": [[0, 3], [4, 8]], "columns": {"pos": ["N"]}},
            "the column pos has not one value",
        ),
    ],
)
def test_what_flat_tags_cannot_say_is_refused(row: Any, reason: str) -> None:
    spans = [{"start": a, "end": b, "type": t} for a, b, t in row["spans"]]
    for writer in (ConllWriter, ConlluWriter):
        with pytest.raises(Unreadable, match=reason):
            written([{**row, "text": "Ann left", "spans": spans}], writer)


def test_the_text_and_its_spans_come_back_from_conllu_exactly(go: Convert, texts: Any) -> None:
    given = [
        {
            "text": t,
            "spans": [
                {"start": 0, "end": 1, "type": "A"},
                {"start": len(t) - 1, "end": len(t), "type": "乙"},
            ],
        }
        for t in texts(60)
    ]
    back = rows_of(go(go([*given, {"text": " 前 后 ", "spans": []}], "conllu", ".conllu"), "spans"))
    assert [{"text": r["text"], "spans": r["spans"]} for r in back] == [
        *given,
        {"text": " 前 后 ", "spans": []},
    ]


def test_words_are_found_where_the_source_has_no_tokens() -> None:
    text = "Dr. O'Neil 在北京工作"
    row = {"text": text, "spans": [{"start": 12, "end": 14, "type": "LOC"}]}
    assert written([row], ConllWriter).split("\n")[:5] == [
        "Dr _ _ O", ". _ _ O", "O'Neil _ _ O", "在 _ _ O", "北 _ _ B-LOC",
    ]  # fmt: skip


def test_overlaps_go_to_the_rejects_with_their_line(go: Convert) -> None:
    one = {"start": 0, "end": 2, "type": "A"}
    out = go([{"text": "ab", "spans": [one]}, {"text": "ab", "spans": [one, one]}], "conll", ".conll")
    assert [(r["line"], r["reason"]) for r in rejects_of(out)] == [(2, "the spans 0-2 and 0-2 overlap")]


def test_our_spans_are_those_that_label_studio_and_conll_agree_on(go: Convert, tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text(CONLL, encoding="utf-8")
    tasks = go(path, "label-studio", ".json")
    back = go(tasks, "conll", ".conll", reads="label-studio")
    assert [r["spans"] for r in rows_of(back)] == [r["spans"] for r in rows(CONLL)]
