import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")

from luban.data import documents, local_engine
from luban.data.dedup import dedup
from luban.data.documents import read_documents, write_documents
from luban.data.near import near_clusters
from luban.data.settings import DedupSettings
from luban.errors import ConfigError, DataError
from luban.files import read_jsonl
from luban.log import Log

LONG = " ".join(f"word{i}" for i in range(60))
SIMILAR = LONG.replace("word7 ", "").replace("word30 ", "other ")
RELATED = " ".join(f"word{i}" for i in range(45)) + " " + " ".join(f"new{i}" for i in range(12))
TEXTS = [LONG, "something quite different from all the others", SIMILAR, LONG.upper(), RELATED]
WORDS = [
    f"{a}{b}" for a, b in itertools.product(("ka", "lo", "mi", "ne", "ru"), ("dan", "fel", "gor", "hup"))
]
HANZI = [chr(0x4E00 + 7 * i) for i in range(400)]


def folder_of(path: Path, texts: Sequence[str], sources: Sequence[str] = (), first: int = 0) -> Path:
    path.mkdir(parents=True)
    rows = [
        {"id": f"d{first + i}", "text": t, "source": "a.txt", "licence": "MIT", "language": "en"}
        for i, t in enumerate(texts)
    ]
    for row, source in zip(rows, sources, strict=False):
        row["source"] = source
    write_documents(path, rows)
    return path


def run(tmp_path: Path, texts: Sequence[str], sources: Sequence[str] = (), **changes: Any) -> dict[str, Any]:
    return run_folder(tmp_path, folder_of(tmp_path / "documents", texts, sources), **changes)


def run_folder(tmp_path: Path, folder: Path, *olds: Path, **changes: Any) -> dict[str, Any]:
    out = tmp_path / "out"
    out.mkdir(parents=True)
    inputs = {"documents": folder, **{f"index:{i}": old for i, old in enumerate(olds)}}
    return dedup(DedupSettings(**{"workers": 1, **changes}), inputs, out, Log(quiet=True))


def kept(tmp_path: Path) -> dict[str, str]:
    return {row["id"]: row["cluster"] for row in read_documents(tmp_path / "out")}


def dropped(tmp_path: Path) -> dict[str, dict[str, Any]]:
    path = tmp_path / "out" / "dropped.jsonl"
    return {row["id"]: row for row in read_jsonl(path)} if path.exists() else {}


def family(seed: int, n: int, chinese: bool, share: float = 0.03) -> list[str]:
    """Texts of which about half are edited copies of earlier ones, some of them exact."""
    rng = random.Random(seed)
    units = HANZI if chinese else WORDS
    made: list[list[str]] = []
    for _ in range(n):
        if made and rng.random() < 0.5:
            rate = rng.choice((0, share, 3 * share))
            made.append([rng.choice(units) if rng.random() < rate else u for u in rng.choice(made)])
        else:
            made.append(rng.choices(units, k=rng.choice((1, 30, 90))))
    return [("" if chinese else " ").join(one) for one in made]


def test_the_first_of_a_group_stays_and_the_others_name_it(tmp_path: Path) -> None:
    facts = run(tmp_path, TEXTS)
    assert kept(tmp_path) == {"d0": "d0", "d1": "d1", "d4": "d0"}
    gone = dropped(tmp_path)
    assert gone["d2"]["reason"] == "near-duplicate"
    assert gone["d2"]["duplicate_of"] == gone["d3"]["duplicate_of"] == "d0"
    assert 0.7 <= gone["d2"]["jaccard"] < 1
    assert gone["d3"]["detail"] == "the same text as d0"
    assert facts["counts"] == {
        "documents_in": 5, "documents_kept": 3, "documents_dropped": 2, "clusters": 2,
        "bytes_in": sum(map(len, TEXTS)), "bytes_kept": sum(len(TEXTS[i]) for i in (0, 1, 4)),
    }  # fmt: skip
    assert [(s["step"], s["documents_in"], s["documents_out"]) for s in facts["funnel"]] == [
        ("exact duplicates", 5, 4),
        ("near-duplicates", 4, 3),
    ]


@pytest.mark.parametrize("chinese", [False, True])
def test_a_folder_comes_out_as_the_same_texts_in_memory_do(tmp_path: Path, chinese: bool) -> None:
    texts = family(1, 120, chinese)
    facts = run(tmp_path, texts)
    near = near_clusters(texts)
    original = {f"d{i}": f"d{o}" for i, o in enumerate(near.duplicate_of) if o is not None}
    assert {i: row["duplicate_of"] for i, row in dropped(tmp_path).items()} == original
    assert kept(tmp_path) == {
        f"d{i}": f"d{c}" for i, c in enumerate(near.cluster) if near.duplicate_of[i] is None
    }
    assert facts["counts"]["clusters"] == len(set(near.cluster))
    assert 20 < len(original) < 100


@pytest.mark.parametrize("chinese", [False, True])
def test_the_order_of_documents_decides_who_stays_not_who_is_together(tmp_path: Path, chinese: bool) -> None:
    texts = list(dict.fromkeys(family(2, 100, chinese)))
    groups = []
    for seed in range(3):
        order = list(range(len(texts)))
        random.Random(seed).shuffle(order)
        near = near_clusters([texts[i] for i in order])
        found: dict[int, set[int]] = {}
        for at, i in enumerate(order):
            found.setdefault(near.cluster[at], set()).add(i)
            original = near.duplicate_of[at]
            assert original is None or original < at
        assert all(order.index(min(members, key=order.index)) == root for root, members in found.items())
        groups.append({frozenset(members) for members in found.values()})
    assert groups[0] == groups[1] == groups[2]


@pytest.mark.parametrize("chinese", [False, True])
def test_new_documents_beside_an_index_fare_as_all_at_once(tmp_path: Path, chinese: bool) -> None:
    texts = family(3, 150, chinese)
    run(tmp_path / "all", texts)
    parts = [folder_of(tmp_path / f"part{k}", texts[k : k + 50], first=k) for k in range(0, len(texts), 50)]
    outs: list[Path] = []
    together: dict[str, str] = {}
    for part in parts:
        facts = run_folder(tmp_path / f"of-{part.name}", part, *outs)
        outs.append(tmp_path / f"of-{part.name}" / "out")
        together.update(kept(outs[-1].parent))
        assert facts["counts"]["documents_in"] == 50
    assert list(together) == list(kept(tmp_path / "all"))
    assert dropped(tmp_path / "of-part100")
    for row in dropped(tmp_path / "of-part100").values():
        assert row["duplicate_of"] in together


def test_a_new_document_joins_the_cluster_of_an_old_one(tmp_path: Path) -> None:
    run(tmp_path / "old", [LONG, RELATED])
    new = [RELATED.replace("word40", "x"), "nothing like it", LONG.replace("word50", "x")]
    folder = folder_of(tmp_path / "new", new, first=2)
    facts = run_folder(tmp_path / "then", folder, tmp_path / "old" / "out", threshold=0.99)
    assert kept(tmp_path / "then") == {"d2": "d0", "d3": "d3", "d4": "d0"}
    assert facts["counts"]["clusters"] == 2


def test_old_folders_are_kept_as_they_are_though_they_repeat_each_other(tmp_path: Path) -> None:
    run(tmp_path / "one", [LONG])
    other = folder_of(tmp_path / "two-raw", [SIMILAR], first=1)
    run_folder(tmp_path / "two", other)
    alike = folder_of(tmp_path / "new", [SIMILAR.replace("word50", "x").replace("word12 ", "")], first=2)
    run_folder(tmp_path / "three", alike, tmp_path / "one" / "out", tmp_path / "two" / "out", threshold=0.85)
    assert dropped(tmp_path / "three")["d2"]["duplicate_of"] == "d1"


def test_an_index_of_other_settings_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "old", TEXTS)
    old = tmp_path / "old" / "out"
    with pytest.raises(DataError, match=r"dedup\.word_ngram = 2, and now it is 3"):
        run_folder(tmp_path / "new", tmp_path / "old" / "documents", old, word_ngram=3)
    (old / "index.arrow").write_bytes(b"broken")
    with pytest.raises(DataError, match="cannot be read"):
        run_folder(tmp_path / "newer", tmp_path / "old" / "documents", old)
    (old / "index.arrow").unlink()
    with pytest.raises(DataError, match=r"has no index\.arrow"):
        run_folder(tmp_path / "newest", tmp_path / "old" / "documents", old)


@pytest.mark.parametrize("chinese", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lines": "all"},
        {"paragraphs": "site"},
        {"substring_bytes": 60},
        {"lines": "all", "substring_bytes": 40},
    ],
)
def test_what_comes_in_stays_or_has_a_line_that_says_why(
    tmp_path: Path, chinese: bool, changes: dict[str, Any]
) -> None:
    notice = "本网站的所有内容均受版权保护。" if chinese else "All rights are reserved by the owners."
    texts = [f"{notice}\n{text}\n\n{notice}" for text in family(4, 60, chinese)]
    texts += ["", " \n", "字", "a", "a" * 300_000, "字" * 100_000, "\n" * 5000, notice]
    facts = run(tmp_path, texts, **changes)
    stays, gone = kept(tmp_path), dropped(tmp_path)
    assert sorted([*stays, *gone]) == sorted(f"d{i}" for i in range(len(texts)))
    counts = facts["counts"]
    assert counts["documents_in"] == len(texts) == counts["documents_kept"] + counts["documents_dropped"]
    for i, row in gone.items():
        assert row["text"] == texts[int(i[1:])] or "duplicate_of" in row or len(changes) > 1
    assert counts["clusters"] == len(set(stays.values()))
    steps = facts["funnel"]
    assert all(one["documents_out"] == two["documents_in"] for one, two in itertools.pairwise(steps))
    assert all(one["bytes_out"] == two["bytes_in"] for one, two in itertools.pairwise(steps))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_workers_and_clusters_decide_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, engine: str
) -> None:
    if engine == "ray":
        request.getfixturevalue("ray_cluster")
    monkeypatch.setattr(local_engine, "FIRST_BYTES", 100)
    monkeypatch.setattr(documents, "GROUP_ROWS", 40)
    notice = "All rights are reserved by the owners."
    texts = [
        f"{notice}\n{text}" for text in [*family(6, 60, chinese=False), *family(7, 60, chinese=True), ""]
    ]
    folder = folder_of(tmp_path / "documents", texts)
    found = []
    for name, where in (("one", {"workers": 1}), ("many", {"workers": 2, "engine": engine})):
        facts = run_folder(tmp_path / name, folder, lines="all", substring_bytes=60, **where)
        rows = list(read_documents(tmp_path / name / "out"))
        found.append((rows, dropped(tmp_path / name), facts["counts"], facts["drops"]))
    assert found[0] == found[1]
    assert found[0][2]["documents_dropped"] > 30


def test_no_documents_at_all_are_no_fault(tmp_path: Path) -> None:
    facts = run(tmp_path, [], lines="all", substring_bytes=100)
    assert facts["counts"]["documents_in"] == 0


def test_two_documents_of_one_id_are_two_documents(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    row = {"id": "same", "source": "a.txt", "licence": "MIT", "language": "en"}
    write_documents(
        folder, [{**row, "text": LONG}, {**row, "text": "quite another text"}, {**row, "text": LONG}]
    )
    facts = run_folder(tmp_path, folder)
    assert facts["counts"]["documents_kept"] == 2
    again = run_folder(tmp_path / "again", folder, tmp_path / "out")
    assert again["counts"]["documents_dropped"] == 3


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"dedup\.permutations = 120 does not split into dedup\.bands = 7"):
        DedupSettings(bands=7)
    with pytest.raises(
        ConfigError, match=r"dedup\.cluster_threshold = 0\.9 is above dedup\.threshold = 0\.8"
    ):
        DedupSettings(threshold=0.8, cluster_threshold=0.9)
    with pytest.raises(ConfigError, match=r"dedup\.substring_bytes = 8 would cut single words"):
        DedupSettings(substring_bytes=8)


def test_a_carried_column_that_is_called_cluster_is_not_replaced_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path / "documents", [LONG])
    write_documents(folder, [{**row, "cluster": "mine"} for row in list(read_documents(folder))])
    (tmp_path / "out").mkdir()
    dedup(DedupSettings(workers=1), {"documents": folder}, tmp_path / "out", Log())
    said = capsys.readouterr()
    assert "the column cluster of" in said.out + said.err
    assert kept(tmp_path) == {"d0": "d0"}
