import pytest
import torch
from torch.testing import assert_close

from luban.errors import ConfigError
from luban.generate import SamplingSettings
from luban.generate.beam import BeamSettings, beam_search
from luban.generate.decode import decode
from luban.generate.reader import Prompts
from luban.generate.writing import read_prompts
from luban.models.load import load_model
from tests.models import references
from tests.models.references import PAD, VOCAB, reference

SEARCHES = [
    {},
    {"early_stopping": True},
    {"length_penalty": 2.0},
    {"length_penalty": -1.0, "n_beams": 3},
    {"length_penalty": 0.0, "n_beams": 5, "early_stopping": True},
]


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """pair("gpt2"): their model and ours."""
    cls, config, settings = references.CASES["t5"]
    # Their cache has as many layers as the encoder.
    monkeypatch.setitem(references.CASES, "t5", (cls, config, settings | {"num_decoder_layers": 2}))

    def build(case):
        theirs = reference(case)
        theirs.save_pretrained(tmp_path / "m")
        return theirs, load_model(tmp_path / "m")

    return build


def prompts(theirs, n_rows):
    draw = torch.Generator().manual_seed(6)
    lengths = torch.randint(3, 11, (n_rows,), generator=draw).tolist()
    rows = [torch.randint(PAD + 1, VOCAB, (n,), generator=draw).tolist() for n in lengths]
    tokens = torch.full((n_rows, max(lengths)), PAD)
    mask = torch.zeros_like(tokens)
    for i, ids in enumerate(rows):
        where = slice(0, len(ids)) if theirs.config.is_encoder_decoder else slice(-len(ids), None)
        tokens[i, where], mask[i, where] = torch.tensor(ids), 1
    inputs = {"input_ids": tokens, "attention_mask": mask}
    if theirs.config.is_encoder_decoder:
        return inputs, Prompts([[PAD]] * n_rows, tokens, mask)
    return inputs, Prompts(rows)


def likely_ends(ours, asked):
    """Return tokens that the model writes early in some rows: taken as ends, they end some texts."""
    written = decode(ours, asked, SamplingSettings(max_new_tokens=4, temperature=0), end_ids=())
    return sorted({ids[3] for ids in written[::10]})


def theirs_found(theirs, inputs, beams, ends, **settings):
    out = theirs.generate(
        **inputs,
        do_sample=False,
        eos_token_id=ends,
        num_beams=beams.n_beams,
        num_return_sequences=beams.n_best,
        length_penalty=beams.length_penalty,
        early_stopping=beams.early_stopping,
        output_scores=True,
        return_dict_in_generate=True,
        **settings,
    )
    n_prompt = 1 if theirs.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    rows = out.sequences[:, n_prompt:].tolist()
    return [
        ids[: next((i for i, id in enumerate(ids) if id in ends), None)] for ids in rows
    ], out.sequences_scores


@pytest.mark.parametrize("search", SEARCHES, ids=str)
@pytest.mark.parametrize("case", ["original", "t5", "gpt2", "llama"])
def test_beams_and_their_scores_are_those_of_transformers(case, search, pair):
    theirs, ours = pair(case)
    inputs, asked = prompts(theirs, 20)
    ends = likely_ends(ours, asked)
    beams = BeamSettings(**{"n_beams": 4, "n_best": 2} | search)
    expected, scores = theirs_found(theirs, inputs, beams, ends, max_new_tokens=9)
    rows = beam_search(ours, asked, SamplingSettings(max_new_tokens=9), beams, end_ids=ends)
    found = [beam for row in rows for beam in row]
    assert [beam.ids for beam in found] == expected
    assert_close(torch.tensor([beam.score for beam in found]), scores)
    assert "stop" in {beam.finish for beam in found}


def test_penalties_apply_to_log_probabilities_as_there(pair):
    theirs, ours = pair("gpt2")
    inputs, asked = prompts(theirs, 1)  # theirs also counts padding as read
    settings = SamplingSettings(max_new_tokens=12, repetition_penalty=1.7, no_repeat_ngram=2)
    beams = BeamSettings(n_best=4)
    expected, scores = theirs_found(
        theirs, inputs, beams, [1], max_new_tokens=12, repetition_penalty=1.7, no_repeat_ngram_size=2
    )
    (found,) = beam_search(ours, asked, settings, beams, end_ids=[1])
    assert [beam.ids for beam in found] == expected
    assert_close(torch.tensor([beam.score for beam in found]), scores)


FAMILIES_THAT_WRITE = ["recurrent", "original", "t5", "gpt2", "llama", "qwen3"]


@pytest.mark.parametrize("family", FAMILIES_THAT_WRITE)
def test_beams_of_unequal_prompts_together_are_those_of_each_alone(family, writer, tokenizer):
    model = writer(family)
    asked = read_prompts(model, tokenizer, ["To be", "今天", "that is the question, or is it not", "a"])
    settings = SamplingSettings(max_new_tokens=8, frequency_penalty=0.5, no_repeat_ngram=3)
    beams = BeamSettings(n_beams=3, n_best=3)
    together = beam_search(model, asked, settings, beams)
    alone = [beam_search(model, asked.row(i), settings, beams)[0] for i in range(len(asked))]
    assert [[beam.ids for beam in row] for row in together] == [[beam.ids for beam in row] for row in alone]
    assert len({beam.ids[0] for row in together for beam in row}) > 1


def test_one_beam_is_greedy(writer, tokenizer):
    model = writer("llama")
    asked = read_prompts(model, tokenizer, ["To be", "今天"])
    found = beam_search(model, asked, SamplingSettings(max_new_tokens=9), BeamSettings(n_beams=1))
    greedy = decode(model, asked, SamplingSettings(max_new_tokens=9, temperature=0))
    assert [row[0].ids for row in found] == greedy


def test_all_beams_find_the_likeliest_of_all_answers(writer):
    model = writer("gpt2", vocab_size=5)
    beams = BeamSettings(n_beams=25, n_best=1)
    ((best,),) = beam_search(model, Prompts([[1, 2]]), SamplingSettings(max_new_tokens=3), beams)
    answers = torch.cartesian_prod(*[torch.arange(5)] * 3)
    rows = torch.cat([torch.tensor([[1, 2]]).expand(len(answers), 2), answers], 1)
    scores = model(rows).detach().log_softmax(-1)[:, 1:-1].gather(2, answers[..., None]).sum((1, 2))
    assert best.ids == answers[scores.argmax()].tolist()
    assert best.score == pytest.approx(float(scores.max()) / 3, abs=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BeamSettings(n_beams=0), "n_beams = 0 cannot be"),
        (lambda: BeamSettings(n_beams=2, n_best=3), "n_best = 3 answers of n_beams = 2 cannot be"),
    ],
)
def test_impossible_widths_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("drawn", [{"temperature": 0.7}, {"top_k": 3}, {"stop": ("x",)}], ids=str)
def test_beam_search_refuses_what_it_cannot_do(drawn, writer):
    with pytest.raises(ConfigError, match="draws nothing, and knows no stop texts"):
        beam_search(writer(), Prompts([[5]]), SamplingSettings(**drawn), BeamSettings())
