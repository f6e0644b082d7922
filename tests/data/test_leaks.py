from pathlib import Path
from typing import Any

import pytest

from luban.data.documents import read_documents, write_documents
from luban.data.evaluations import name_sets, read_items
from luban.data.leaks import leaks
from luban.data.probes import make_probes
from luban.data.settings import LeakSettings
from luban.data.shingles import hash_ngrams
from luban.errors import DataError
from luban.files import read_jsonl, write_jsonl
from luban.log import Log

QUESTION = (
    "A keeper of a lighthouse burns three barrels of oil in a week of short nights and five barrels in "
    "a week of long nights; how many barrels does he burn in a year with twenty weeks of long nights?"
)
PASSAGE = "灯塔看守人每天晚上都把天气记在本子上，字写得又小又工整，几十年来从没有间断过一天，后来这些本子被送进了博物馆。"
OTHER = (
    "Some other text about ships, storms, the harbour and the people who wait there for their return home."
)


def folder_of(path: Path, texts: dict[str, tuple[str, str]]) -> Path:
    path.mkdir()
    rows = [
        {"id": i, "text": text, "source": "a.txt", "licence": "MIT", "language": "en", "time": "", "split": s}
        for i, (s, text) in texts.items()
    ]
    write_documents(path, rows)
    return path


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    return folder_of(
        tmp_path / "documents",
        {
            "clean": ("train", OTHER),
            "leaky": ("train", f"Homework of the week. {QUESTION} Show your work."),
            "中文": ("train", f"语文课本第三课。{PASSAGE}（完）"),
            "near": ("test", OTHER.replace("storms", "gales")),
            "far": ("test", "Nothing at all is shared with this row of words, not even by chance alone."),
            "held": ("validation", QUESTION),
        },
    )


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    path = tmp_path / "riddles.jsonl"
    rows: list[dict[str, Any]] = [
        {"task_id": "en/1", "question": QUESTION, "answer": "210"},
        {"task_id": "zh/1", "context": PASSAGE, "answers": {"text": ["博物馆"]}},
        {"task_id": "zh/2", "context": PASSAGE, "answers": {"text": ["本子上"]}},
        {
            "task_id": "en/2",
            "question": "Which of the towers that stand by the sea was built of wood, and why?",
        },
    ]
    write_jsonl(path, rows)
    return path


def run(documents: Path, out: Path, evaluation: Path | None = None, **changes: Any) -> dict[str, Any]:
    out.mkdir()
    inputs = {"documents": documents} | ({"evaluation": evaluation} if evaluation else {})
    return leaks(LeakSettings(workers=1, **changes), inputs, out, Log(quiet=True))


def test_items_in_the_training_text_are_found_in_both_languages(
    documents: Path, evaluation: Path, tmp_path: Path
) -> None:
    facts = run(documents, tmp_path / "out", evaluation)
    report = facts["evaluations"]["riddles"]
    assert (report["items"], report["leaked"], report["too_short"]) == (4, 3, 3)
    flagged = {row["id"]: row.get("leak") for row in read_documents(tmp_path / "out")}
    assert flagged["leaky"] == "1.00 of the n-grams of riddles en/1"
    assert flagged["中文"] == "1.00 of the n-grams of riddles zh/1"
    assert [flagged[i] for i in ("clean", "near", "far", "held")] == [None] * 4
    assert facts["counts"]["contaminated"] == 2


def test_contaminated_documents_can_be_dropped_and_are_accounted_for(
    documents: Path, evaluation: Path, tmp_path: Path
) -> None:
    facts = run(documents, tmp_path / "out", evaluation, action="drop")
    counts = facts["counts"]
    assert (counts["documents_in"], counts["documents_kept"], counts["documents_dropped"]) == (6, 4, 2)
    dropped = list(read_jsonl(tmp_path / "out" / "dropped.jsonl"))
    assert [row["id"] for row in dropped] == ["leaky", "中文"]
    assert dropped[0]["detail"] == "1.00 of the n-grams of riddles en/1, at most 0.3"


def test_the_nearest_training_document_of_each_held_out_one_is_exact(documents: Path, tmp_path: Path) -> None:
    neighbours = run(documents, tmp_path / "out")["neighbours"]
    one, other = (set(hash_ngrams(text, 2, 2).tolist()) for text in (OTHER, OTHER.replace("storms", "gales")))
    jaccard = len(one & other) / len(one | other)
    assert neighbours["test"]["worst"][0] == {
        "split": "test",
        "document": "near",
        "nearest": "clean",
        "jaccard": round(jaccard, 4),
    }
    assert neighbours["test"]["near"] == 1
    assert neighbours["test"]["worst"][1]["jaccard"] == 0.0
    assert neighbours["validation"]["worst"][0]["nearest"] == "leaky"


def test_a_limit_decides_what_is_a_leak(documents: Path, evaluation: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.jsonl"
    words = QUESTION.split()
    write_jsonl(half, [{"question": " ".join([*words[:20], *(f"other{i}" for i in range(20))])}])
    share = 8 / 28  # 20 of 40 words are shared: 8 of 28 runs of 13
    assert run(documents, tmp_path / "a", half, max_overlap=share - 0.01)["counts"]["contaminated"] == 1
    assert run(documents, tmp_path / "b", half, max_overlap=share + 0.01)["counts"]["contaminated"] == 0


def test_shared_ngrams_are_counted_as_sets_are() -> None:
    texts = ["a b c d e", "c d e f g", "x y z", "a b c a b c"]
    probes = make_probes(texts, 2, 2)
    sets = [set(hash_ngrams(text, 2, 2).tolist()) for text in texts]
    own = hash_ngrams("a b c d q", 2, 2)
    found = dict(zip(*(part.tolist() for part in probes.shared(own)), strict=True))
    assert found == {i: len(s & set(own.tolist())) for i, s in enumerate(sets) if s & set(own.tolist())}
    assert probes.sizes.tolist() == [len(s) for s in sets]


def test_evaluations_without_text_or_file_are_errors(documents: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    write_jsonl(empty, [{"label": 1}])
    with pytest.raises(DataError, match="holds no row with text"):
        list(read_items(empty, (), Log(quiet=True)))
    with pytest.raises(DataError, match="does not exist"):
        list(read_items(tmp_path / "none.jsonl", (), Log(quiet=True)))


def test_sets_are_named_by_their_files_or_folders() -> None:
    paths = [Path("a/data.jsonl.gz"), Path("b/data.jsonl.gz"), Path("c/gsm8k.jsonl")]
    assert list(name_sets(paths)) == ["a", "b", "gsm8k"]


def test_a_folder_of_evaluations_stands_for_its_files(documents: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evaluations"
    folder.mkdir()
    for name in ("one.jsonl", "two.jsonl", ".hidden"):
        (folder / name).write_text('{"question": "a"}\n')
    assert list(name_sets([folder, documents])) == ["one", "two", "documents"]
    assert [item.text for item in read_items(documents, (), Log(quiet=True))][0] == OTHER


def test_text_in_full_width_letters_is_found_on_either_side(tmp_path: Path, evaluation: Path) -> None:
    wide = str.maketrans({chr(c): chr(c + 0xFEE0) for c in range(0x21, 0x7F)})
    texts = {"wide": ("train", QUESTION.translate(wide)), "far": ("test", OTHER)}
    facts = run(folder_of(tmp_path / "in", texts), tmp_path / "out", evaluation)
    assert facts["evaluations"]["riddles"]["leaked"] == 1
    write_jsonl(tmp_path / "wide.jsonl", [{"id": "1", "question": QUESTION.translate(wide)}])
    plain = folder_of(tmp_path / "plain", {"plain": ("train", QUESTION), "far": ("test", OTHER)})
    facts = run(plain, tmp_path / "out2", tmp_path / "wide.jsonl")
    assert facts["evaluations"]["wide"]["leaked"] == 1


def test_nothing_to_look_for_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no test part, and no evaluation is named"):
        run(folder_of(tmp_path / "in", {"a": ("train", OTHER)}), tmp_path / "out")
