from pathlib import Path

import pytest

from luban.errors import ConfigError
from luban.recipe import load_recipe, write_recipe

TEXT = """\
recipe: demo
out: runs/demo
stages:
  split: {use: split, from: {documents: dedup}}
  dedup: {use: dedup, from: {documents: clean}}
  clean:
    use: clean
    from: {raw: "bundled:quickstart/raw"}
"""


def recipe_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_stages_are_put_in_the_order_they_need(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path, TEXT))
    assert [t.name for t in recipe.tasks] == ["clean", "dedup", "split"]
    assert recipe.task("dedup").out == Path("runs/demo/dedup")
    assert [t.name for t in recipe.ancestry("dedup")] == ["clean", "dedup"]


def test_a_written_recipe_reads_back_the_same(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path, TEXT), ["split.seed=5"], tmp_path / "out")
    write_recipe(recipe, recipe.task("split"), tmp_path / "again.yaml")
    again = load_recipe(tmp_path / "again.yaml")
    assert again == recipe
    assert again.task("split").settings.seed == 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("use: dedup", "use: dedupe", r"r\.yaml:5: dedup\.use = 'dedupe' is not a stage\n.*did you mean dedup\?"),
        ("from: {documents: clean}", "from: {document: clean}", r"r\.yaml:5: stage dedup has no input document\n.*documents"),
        ("use: dedup, from: {documents: clean}", "use: dedup", r"r\.yaml:5: stage dedup lacks its input documents"),
        ("use: dedup,", "use: dedup, treshold: 1,", r"r\.yaml:5: unknown setting dedup\.treshold = 1\n.*threshold"),
        ("out: runs/demo", "output: x", r"r\.yaml:2: unknown setting output\n.*out"),
        ("{documents: clean}", "{documents: split}", "stages wait for each other"),
        ("stages:", "stage:", "has no `stages:`"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_is_refused_with_the_line_and_the_nearest_word(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in TEXT
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe_file(tmp_path, TEXT.replace(old, new)))


def test_set_must_name_a_stage_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no stage splitt\n  fix: did you mean split\?"):
        load_recipe(recipe_file(tmp_path, TEXT), ["splitt.seed=1"])


def test_an_unknown_recipe_name_lists_the_bundled_ones() -> None:
    with pytest.raises(ConfigError, match=r"not a recipe file.*\n.*quickstart"):
        load_recipe("no-such-recipe")


def test_raw_texts_may_come_from_a_list_of_paths(tmp_path: Path) -> None:
    text = TEXT.replace(
        '"bundled:quickstart/raw"', '["bundled:quickstart/raw/en", "bundled:quickstart/raw/zh"]'
    )
    recipe = load_recipe(recipe_file(tmp_path, text), out=tmp_path / "out")
    assert recipe.task("clean").inputs == {
        "raw": "bundled:quickstart/raw/en",
        "raw:2": "bundled:quickstart/raw/zh",
    }
    write_recipe(recipe, recipe.task("split"), tmp_path / "again.yaml")
    assert load_recipe(tmp_path / "again.yaml") == recipe
    with pytest.raises(ConfigError, match="stage split has no input documents:2"):
        load_recipe(
            recipe_file(
                tmp_path, TEXT.replace("{documents: dedup}", '{documents: dedup, "documents:2": clean}')
            )
        )
