"""What `make check` finds on a page."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_check", ROOT / "docs" / "check.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```bash\nluban trian\n```", "trian"),
        ("```bash\nluban train --task pretrain --data x --out y --set train.stepz=1\n```", "stepz"),
        ("```bash\nluban train --task pretrain --data x\n```", "--out"),
        ("```bash\nluban run train-gpt2 --set gpt2.size=1\n```", "size"),
        ("```bash\nluban run no-such-recipe\n```", "no-such-recipe"),
        ("[`nowhere`](check.py)", "defines no nowhere"),
        ("[x](nowhere.md)", "leads nowhere"),
        ("```python\n>>> 1 +\n```", "python block"),
        ("<!-- config gpt2 llama -->\nold\n<!-- end -->", "a table is not"),
        ("see `luban/nothing.py`", "luban/nothing.py does not exist"),
    ],
)  # fmt: skip
def test_a_fault_on_a_page_is_found(check: ModuleType, tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "check.py").write_text("somewhere = 1\n")
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    checks = (check.links, check.commands, check.python_blocks, check.drawn, check.paths)
    faults = [f for part in checks for f in part(page)]
    assert len(faults) == 1, faults
    assert fault in faults[0]


@pytest.mark.parametrize(
    ("english", "chinese", "fault"),
    [
        ("# A", "# 甲\n## 乙", "headings"),
        ("```bash\nmake test\n```", "甲", "make test"),
        ("```python\nx = 1\n```", "```python\nx = 2\n```", "Python blocks"),
        ("```math\nx\n```", "```math\ny\n```", "formulas"),
        ("# A", None, "only one language has page.md"),
    ],
)
def test_pages_that_differ_between_the_languages_are_found(
    check: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    english: str,
    chinese: str | None,
    fault: str,
) -> None:
    for language, text in (("en", english), ("zh", chinese)):
        (tmp_path / language).mkdir()
        if text is not None:
            (tmp_path / language / "page.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr(check, "GUIDES", {language: tmp_path / language for language in ("en", "zh")})
    [found] = check.in_pairs()
    assert fault in found


def test_a_table_shows_what_sets_families_apart_and_nothing_else(check: ModuleType) -> None:
    rows = check.config_table("qwen2", "qwen3").splitlines()[2:]
    assert {row.split("`")[1] for row in rows} == {"attention_bias", "qk_norm"}
