"""The harness's three requests, answered as its own backend for Hugging Face models answers them."""

from types import SimpleNamespace

import pytest
import torch

from luban.errors import ConfigError, MissingExtra
from luban.evaluate import harness
from luban.evaluate.harness import Answers, harness_model, load_harness, sampling
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.tokenizer.train import train_bpe

TEXT = "To be, or not to be, that is the question. 今天天气很好，我们去公园散步。"


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe([TEXT] * 3, 300, template=False)


@pytest.fixture(scope="module")
def model(tokenizer):
    config = FAMILIES["llama"].config("tiny", dim=32, n_layers=2, max_len=40, vocab_size=tokenizer.vocab_size)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4))
    return model


def asked(*arguments):
    return [SimpleNamespace(args=a) for a in arguments]


PAIRS = [
    ("To be,", " or not"),
    ("今天", "天气"),
    ("", "that is"),
    ("To be ", "or"),
    ("To be,", " the question"),
]


def test_the_probability_of_a_text_is_that_of_its_parts_however_it_is_asked(model, tokenizer):
    answers = Answers(model, tokenizer)
    found = answers.loglikelihood(asked(*PAIRS))
    assert all(value < 0 and isinstance(greedy, bool) for value, greedy in found)
    (whole,) = answers.loglikelihood_rolling(asked(("To be, or not",)))
    start, rest = answers.loglikelihood(asked(("", "To be,"), ("To be,", " or not")))
    # Not exactly the sum of both: without a context before it, the first part begins after the end token.
    with torch.no_grad():
        ids = [tokenizer.eos_id, *tokenizer.encode("To be, or not")]
        logs = model(torch.tensor([ids[:-1]]))[0].log_softmax(-1)
    assert whole == pytest.approx(logs[range(len(ids) - 1), ids[1:]].sum().item(), abs=1e-4)
    assert start[0] > whole
    assert rest[0] < 0


def test_writing_stops_before_a_stop_text_and_cuts_the_context_on_its_left(model, tokenizer):
    answers = Answers(model, tokenizer)
    (free,) = answers.generate_until(asked(("To be,", {"max_gen_toks": 8})))
    assert free
    (stopped,) = answers.generate_until(asked(("To be,", {"max_gen_toks": 8, "until": [free[2]]})))
    assert stopped == free[: free.index(free[2])]
    long = TEXT * 5
    ids = tokenizer.encode(long)[-32:]
    assert answers.generate_until(asked((long, {"max_gen_toks": 8}))) == answers.generate_until(
        asked((tokenizer.decode(ids), {"max_gen_toks": 8}))
    )
    with pytest.raises(ConfigError, match="lets 40 tokens be written, and the model reads 40"):
        answers.generate_until(asked(("To be,", {"max_gen_toks": 40})))


def test_settings_of_a_task_are_greedy_unless_it_says_otherwise():
    assert sampling({}).temperature == 0
    assert sampling({"do_sample": False, "temperature": 0.7}).temperature == 0
    assert sampling({"temperature": 0.7, "top_p": 0.9}).top_p == 0.9
    assert sampling({"until": "\n", "max_tokens": 5}).stop == ("\n",)
    assert sampling({"until": ["\n", ""], "max_tokens": 5}).max_new_tokens == 5


def test_special_tokens_of_a_template_are_read_as_such(model, tokenizer):
    end = tokenizer.token(tokenizer.eos_id)
    with_end, plain = Answers(model, tokenizer).loglikelihood(asked(("To be,", end), ("To be,", " be")))
    assert with_end != plain
    assert tokenizer.with_specials().encode(end) == [tokenizer.eos_id]
    assert tokenizer.encode(end) != [tokenizer.eos_id]


def test_without_the_harness_the_command_that_installs_it_is_told(monkeypatch):
    def missing(module):
        raise ModuleNotFoundError(name="lm_eval")

    monkeypatch.setattr(harness.importlib, "import_module", missing)
    with pytest.raises(MissingExtra, match=r"luban\[harness\]"):
        load_harness("lm_eval.api.model")


def test_the_harness_takes_the_model_for_one_of_its_own(model, tokenizer):
    api = pytest.importorskip("lm_eval.api.model", reason="lm-eval is not installed")
    ours = harness_model(model, tokenizer)
    assert isinstance(ours, api.LM)
    assert (ours.rank, ours.world_size) == (0, 1)
    assert ours.loglikelihood(asked(*PAIRS)) == Answers(model, tokenizer).loglikelihood(asked(*PAIRS))
