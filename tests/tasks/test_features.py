"""The head alone, over vectors that are computed once, learns what it would over a trunk that rests."""

import pytest
import torch

from luban.files import write_jsonl
from luban.log import Log
from luban.models.load import load_model
from luban.tasks.classify import classify
from luban.tasks.classify_settings import ClassifySettings
from luban.tasks.features import PREFIX
from luban.tasks.model_settings import ModelSettings
from tests.tasks.test_classify import rows

QUIET = Log(quiet=True)
BERT = {"family": "bert", "size": "tiny", "dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 32}
LLAMA = {"family": "llama", "size": "tiny", "dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 32}
USUAL = {"vocab_size": 300, "threads": 1, "evaluate_every_steps": 6, "save_every_steps": 12, "patience": 0}


def run(tmp_path, name, model=None, new=None, **changes):
    data, out = tmp_path / "rows.jsonl", tmp_path / name
    write_jsonl(data, rows())
    out.mkdir()
    settings = ClassifySettings(
        **(USUAL | {"model": new, "steps": 12, "lr": 0.02, "tokens_per_batch": 256} | changes)
    )
    inputs = {"data": data} | ({"model": model} if model else {})
    return out, classify(settings, inputs, out, QUIET)


@pytest.mark.parametrize("shape", [BERT, LLAMA], ids=["encoder", "decoder"])
@pytest.mark.parametrize("pool", ["first", "mean"])
def test_it_ends_where_training_with_the_trunk_frozen_ends(tmp_path, shape, pool):
    base, _ = run(tmp_path, "base", steps=1, new=ModelSettings(**shape, dropout=0.0))
    frozen, slow = run(tmp_path, "frozen", base, pool=pool, freeze=("stem.*", "trunk.*"))
    cached, fast = run(tmp_path, "cached", base, pool=pool, method="head")
    assert not list(cached.glob(f"{PREFIX}*"))
    ours, theirs = (dict(load_model(f).named_parameters()) for f in (cached, frozen))
    for name, p in theirs.items():
        torch.testing.assert_close(ours[name], p, atol=2e-5, rtol=1e-4, msg=name)
    assert fast["counts"]["trainable"] == slow["counts"]["trainable"]
    assert fast["best"]["loss"] == pytest.approx(slow["best"]["loss"], abs=1e-5)
    moved = (load_model(base).stem.tokens.weight - load_model(cached).stem.tokens.weight).abs().max()
    assert moved == 0
