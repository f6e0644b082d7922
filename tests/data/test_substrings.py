import random
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")

from luban.data.documents import read_documents
from luban.data.substrings import cut_out, grown
from luban.native import winnow
from tests.data.test_dedup import dropped, run


def prose(rng: random.Random, size: int, chinese: bool) -> str:
    if chinese:
        return "".join(chr(rng.randrange(0x4E00, 0x9000)) for _ in range(size // 3))
    return " ".join("".join(rng.choices("abcdefghijklmnop", k=rng.randrange(2, 9))) for _ in range(size // 6))


def longest_shared(one: str, other: str) -> int:
    """The longest common run of bytes, by the textbook."""
    a, b = one.encode(), other.encode()
    best, row = 0, [0] * (len(b) + 1)
    for x in a:
        row = [0] + [before + 1 if x == y else 0 for before, y in zip(row, b, strict=False)]
        best = max(best, *row)
    return best


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("chinese", [False, True])
def test_no_long_span_is_left_in_two_documents_and_nothing_else_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chinese: bool, native: bool
) -> None:
    if not native:
        monkeypatch.setattr(winnow, "is_available", lambda: False)
    rng = random.Random(1)
    own = [prose(rng, 400, chinese) for _ in range(6)]
    shared = [prose(rng, 160, chinese) for _ in range(2)]
    texts = [
        own[0] + shared[0],
        shared[0] + own[1],
        own[2][:150] + shared[1] + own[2][150:],
        own[3][:99] + shared[1] + own[3][99:] + shared[0],
        own[4],
        own[5] + own[5],  # within one document is no matter of ours
    ]
    run(tmp_path, texts, substring_bytes=100)
    found = [row["text"] for row in read_documents(tmp_path / "out")]
    assert [len(f) for f in found] != [len(t) for t in texts]
    for i, text in enumerate(found):
        assert abs(len(text) - len(own[i]) * (2 if i == 5 else 1)) < 6 or i in (0, 2)
        assert all(longest_shared(text, other) < 100 for other in found[:i])
    assert found[0] == texts[0]
    assert found[2] == texts[2]
    assert found[4:] == texts[4:]


def test_shorter_spans_stay(tmp_path: Path) -> None:
    rng = random.Random(2)
    shared = prose(rng, 90, chinese=False)
    texts = [prose(rng, 300, chinese=False) + shared, shared + prose(rng, 300, chinese=False)]
    run(tmp_path, texts, substring_bytes=len(shared) + 2)
    assert [row["text"] for row in read_documents(tmp_path / "out")] == texts


@pytest.mark.parametrize("place", [0, 1])
def test_a_span_is_found_beside_a_document_with_a_shorter_part_of_it(tmp_path: Path, place: int) -> None:
    rng = random.Random(5)
    passage = prose(rng, 300, chinese=False)
    texts = [prose(rng, 400, chinese=False) + passage, passage + prose(rng, 400, chinese=False)]
    for start in range(0, 190, 4):  # every fingerprint stands in a part too short to be removed
        texts.insert(place, passage[start : start + 114] + prose(rng, 400, chinese=False))
    run(tmp_path, texts, substring_bytes=120)
    found = {row["id"]: row["text"] for row in read_documents(tmp_path / "out")}
    whole = next(i for i, text in enumerate(texts) if text.endswith(passage))
    assert found[f"d{whole}"] == texts[whole]
    assert longest_shared(texts[whole], found[f"d{len(texts) - 1}"]) < 120


def test_a_document_with_nothing_of_its_own_is_dropped_with_a_reason(tmp_path: Path) -> None:
    rng = random.Random(3)
    long = prose(rng, 3000, chinese=True)
    facts = run(tmp_path, [long, "一" + long[300:600] + "二"], substring_bytes=200)
    gone = dropped(tmp_path)["d1"]
    assert gone["reason"] == "nothing but shared spans"
    assert gone["detail"] == "6 characters left, at least 40 are needed; 900 bytes are in earlier documents"
    assert facts["counts"]["documents_kept"] == facts["counts"]["clusters"] == 1


@pytest.mark.parametrize("at", [0, 70, 199])
def test_a_span_grows_to_both_sides_as_far_as_it_is_the_same(at: int) -> None:
    rng = random.Random(4)
    same = rng.randbytes(200)
    one, other = b"x" * 5 + same + b"a", b"yy" + same + b"b" * 7
    assert grown(one, 5 + at, other, 2 + at) == (5, 205)


def test_what_is_left_on_both_sides_does_not_grow_together() -> None:
    assert cut_out("onetwothree", [(3, 6)]) == "one three"
    assert cut_out("一二三四", [(3, 6)]) == "一三四"
    assert cut_out("one, two. three", [(5, 9)]) == "one,  three"
