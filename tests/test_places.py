from pathlib import Path

import pytest

from luban import places
from luban.errors import DataError


@pytest.fixture
def house(tmp_path: Path, monkeypatch) -> Path:
    root = tmp_path / "luban"
    (root / "room").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "a.py").write_text("def f():\n    from luban.room import deep\n")
    (root / "room" / "deep.py").write_text("from luban.b import x\n")
    (root / "b.py").write_text("x = 1\n")
    (root / "other.py").write_text("y = 1\n")
    monkeypatch.setattr(places, "ROOT", root)
    places.code_version.cache_clear()
    yield root
    places.code_version.cache_clear()


def version() -> str:
    places.code_version.cache_clear()
    return places.code_version("luban.a")


def test_code_version_follows_every_import_however_deep(house: Path) -> None:
    before = version()
    (house / "b.py").write_text("x = 2\n")
    assert version() != before


@pytest.mark.parametrize(
    "lines",
    [
        "from luban.one import p\nfrom luban.b import x\n",
        "from luban.room import (\n    other as some,\n    deep,\n)\n",
        "import luban.one\nimport luban.b\n",
    ],
)
def test_code_version_follows_imports_that_stand_one_below_the_other(house: Path, lines: str) -> None:
    (house / "a.py").write_text(lines)
    before = version()
    (house / "b.py").write_text("x = 2\n")
    assert version() != before


def test_code_version_ignores_code_that_is_not_reached(house: Path) -> None:
    before = version()
    (house / "other.py").write_text("y = 2\n")
    assert version() == before


def test_an_input_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pip install --no-deps no-such-package-at-all"):
        places.find_input("package:no_such_package_at_all/x")
    with pytest.raises(DataError, match="Luban ships no"):
        places.find_input("bundled:nothing")
    with pytest.raises(DataError, match="does not exist"):
        places.find_input(str(tmp_path / "none"))
    assert places.find_input("package:yaml/loader.py").name == "loader.py"
