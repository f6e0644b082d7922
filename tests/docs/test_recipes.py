"""The recipe on each family's page, run on little text for a step or two."""

import random
from pathlib import Path

import pytest
import yaml

from luban.cli.main import _run
from luban.models.families import FAMILIES
from luban.recipe import find_recipe, load_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "luban" / "bundled" / "recipes").glob("train-*.yaml"))
NAMES = [path.stem.removeprefix("train-") for path in RECIPES]
SMALL = {
    "pretrain": {
        "steps": 1,
        "batch_size": 2,
        "context": 32,
        "validation_windows": 2,
        "evaluate_every_steps": 1,
    }
    | {"threads": 1, "prompts": ["The king said"]},
    "vectors": {"steps": 2, "min_count": 1, "dim": 8, "batch_size": 2, "threads": 1},
    "tokenizer": {"vocab_size": 400},
}
WIDTH = {"dim": 32, "n_layers": 1}
ENGLISH = "the king said nothing while a cold river ran past his garden under grey stone walls".split()
CHINESE = "春眠不觉晓处处闻啼鸟夜来风雨声花落知多少山水之间有古寺"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("texts"), random.Random(1)
    for i in range(24):
        (folder / f"{i}.txt").write_text(" ".join(draw.choices(ENGLISH, k=90)), encoding="utf-8")
        (folder / f"zh{i}.txt").write_text("".join(draw.choices(CHINESE, k=150)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all recipes, so that the data stages run once, as they do for a reader."""
    return tmp_path_factory.mktemp("families")


def small(recipe: Path, texts: Path) -> dict[str, object]:
    """The recipe on these texts, with every stage's settings made small."""
    tree = yaml.safe_load(recipe.read_text("utf-8"))
    for stage in tree["stages"].values():
        for name, value in stage["from"].items():
            if "bundled:" in str(value):
                stage["from"][name] = str(texts)
        changes = SMALL.get(stage["use"], {})
        stage.update({k: v for k, v in changes.items() if k != "prompts" or "prompts" in stage})
        if "model" in stage:
            heads = {} if stage["model"]["family"] == "recurrent" else {"n_heads": 2, "ffn_dim": 64}
            stage["model"] |= WIDTH | heads
    return tree


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_a_familys_recipe_trains_it(recipe: Path, texts: Path, out: Path, tmp_path: Path) -> None:
    path = tmp_path / recipe.name
    path.write_text(yaml.safe_dump(small(recipe, texts), allow_unicode=True), encoding="utf-8")
    assert _run(["run", str(path), "--out", str(out)]) == 0
    for task in load_recipe(path, out=out).tasks:
        if task.stage.resumable:
            assert (task.out / "config.json").is_file()
            assert (task.out / "model.safetensors").is_file()


def test_every_page_is_of_a_family_and_all_but_that_of_speech_have_a_recipe() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "en" / "families").glob("*.md")} - {"README"}
    assert pages <= {name.rstrip("23") if name.startswith("qwen") else name for name in FAMILIES}
    assert pages - set(NAMES) == {"whisper"}
    index = (ROOT / "docs" / "en" / "families" / "README.md").read_text("utf-8")
    assert all(f"({page}.md)" in index for page in pages)


def test_the_recipes_share_their_data_stages() -> None:
    shared = ("clean", "dedup", "split", "tokenizer", "shards")
    found = []
    for name in NAMES:
        recipe = load_recipe(find_recipe(f"train-{name}"))
        assert recipe.out == Path("runs/families")
        if name != "word2vec":
            found.append([recipe.task(stage) for stage in shared])
    assert all(tasks == found[0] for tasks in found)
