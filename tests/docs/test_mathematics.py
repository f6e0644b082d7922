"""The worked examples of the mathematics page, run in both languages."""

import doctest
import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / language / "mathematics.md" for language in ("en", "zh")]


def session(page: Path) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S))


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])
def test_every_number_of_the_page_is_what_the_code_gives(page: Path) -> None:
    torch.set_printoptions(profile="default")
    test = doctest.DocTestParser().get_doctest(session(page), {}, page.name, str(page), 0)
    assert len(test.examples) > 50
    said: list[str] = []
    outcome = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not outcome.failed, "".join(said)


def test_both_languages_show_the_same_code_and_the_same_formulas() -> None:
    english, chinese = PAGES
    assert session(english) == session(chinese)
    formulas = [re.findall(r"^```math\n(.*?)^```", p.read_text("utf-8"), re.M | re.S) for p in PAGES]
    assert formulas[0] == formulas[1]
    assert len(formulas[0]) >= 6
