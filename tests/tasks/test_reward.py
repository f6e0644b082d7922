"""A tiny reward model: what it learns, what it says of conversations, and what others read in its folder."""

from pathlib import Path

import pytest
import torch

from luban.errors import CheckpointError, ConfigError, DataError
from luban.files import write_jsonl
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.models.load import load_model, save_model
from luban.objectives.reward import reward
from luban.tasks.prefer_settings import RewardSettings
from luban.tasks.prepared import train_prepared
from luban.tasks.reward import RewardModel, open_rewarder, prepare
from luban.tokenizer import load_tokenizer
from tests.tasks.test_prefer import QUIET, pairs, tiny

SETTINGS = RewardSettings(
    steps=8, lr=0.02, tokens_per_batch=512, max_len=200, evaluate_every_steps=8, save_every_steps=8,
    trackers=(), threads=1, compile="off",
)  # fmt: skip
ASKED = {"role": "user", "content": "Which is 3? 第3个?"}


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    write_jsonl(tmp_path / "pairs.jsonl", pairs())
    return {"model": tiny(tmp_path / "base"), "data": tmp_path / "pairs.jsonl"}


def test_the_better_answer_scores_higher_and_transformers_reads_the_same_score(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    facts = train_prepared(prepare(SETTINGS, inputs, out, QUIET), out, QUIET)
    assert facts["best"]["loss"] < facts["first"]["loss"]
    assert facts["best"]["accuracy"] == 1.0
    predictor = open_rewarder(out)
    good, bad = (
        {"messages": [ASKED, {"role": "assistant", "content": text}]}
        for text in ("A good one, 好的。", "A bad one.")
    )
    (better, worse) = predictor.predict([good, bad])
    assert better["reward"] > worse["reward"]
    assert predictor.predict([good])[0]["reward"] == pytest.approx(better["reward"], abs=1e-5)
    transformers = pytest.importorskip("transformers", reason="the reference library is not installed")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(out).eval()
    assert theirs.config.num_labels == 1
    tokens = torch.arange(20)[None]
    assert theirs(tokens).logits.shape == (1, 1)
    torch.testing.assert_close(theirs(tokens).logits, load_model(out)(tokens), rtol=1e-4, atol=1e-5)


def test_two_halves_of_a_batch_add_up_to_the_whole(inputs: dict[str, Path], tmp_path: Path) -> None:
    run = prepare(SETTINGS, inputs, tmp_path, QUIET).run
    model = run.model.eval()
    (batch,) = run.batches.at(1)
    n = len(batch.tokens) // 2
    whole = reward(model, batch)
    read = run.batches.read  # type: ignore[attr-defined]
    groups = torch.tensor(batch.ids[::2]).numpy() // 2
    parts = [reward(model, read(part)) for part in (groups[:2], groups[2:])]
    assert (whole.n_targets, sum(int(p.n_targets) for p in parts)) == (n, n)
    assert sum(p.total.item() for p in parts) == pytest.approx(whole.total.item(), rel=1e-5)


def test_what_cannot_be_judged_is_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no reward model"):
        RewardModel(inputs["model"])
    out = tmp_path / "out"
    prepared = prepare(SETTINGS, inputs, out, QUIET)
    save_model(prepared.run.model, out)  # type: ignore[arg-type]
    load_tokenizer(inputs["model"]).save(out)
    for row, what in (({"messages": "an answer"}, "answers nothing"), ({"messages": []}, "no list of turns")):
        with pytest.raises(DataError, match=what):
            open_rewarder(out).predict([row])


def test_a_model_that_sees_everything_at_once_is_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    tokenizer = load_tokenizer(inputs["model"])
    size = {"dim": 16, "n_layers": 1, "n_heads": 2, "ffn_dim": 24, "max_len": 64}
    config = FAMILIES["bert"].config("tiny", vocab_size=tokenizer.vocab_size, **size)
    save_model(build_model(config), inputs["model"])
    with pytest.raises(ConfigError, match="does not end where the answer ends"):
        prepare(SETTINGS, inputs, tmp_path, QUIET)
