import dataclasses

import pytest
import torch

import luban
from luban.errors import CheckpointError, ConfigError, DataError
from luban.generate import BeamSettings, Lookup, SamplingSettings, generate, stream, write
from luban.generate.writing import search
from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES

PROMPTS = ["To be", "今天", "that is the question, or is it not", "a"]
FAMILIES_THAT_WRITE = ["recurrent", "original", "gpt2", "t5", "llama", "qwen2", "qwen3"]
SETTINGS = [
    {"temperature": 0.0},
    {"temperature": 0.9, "top_p": 0.9, "seed": 3},
    {"temperature": 1.3, "top_k": 20, "min_p": 0.05, "repetition_penalty": 1.2, "frequency_penalty": 0.3},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["greedy", "top-p", "top-k"])
@pytest.mark.parametrize("family", FAMILIES_THAT_WRITE)
def test_a_batch_of_unequal_prompts_writes_what_each_alone_would(family, settings, writer, tokenizer):
    model, asked = (
        writer(family, max_len=30),
        SamplingSettings(max_new_tokens=24, **settings),
    )  # some run out of context
    together = generate(model, tokenizer, PROMPTS, settings=asked)
    alone = [generate(model, tokenizer, [prompt], settings=asked)[0] for prompt in PROMPTS]
    assert together == alone
    assert len(set(together)) > 1


@pytest.mark.parametrize("family", ["gpt2", "llama", "recurrent"])
def test_greedy_text_is_what_uncached_reading_would_choose(family, writer, tokenizer):
    model, ids = writer(family), tokenizer.encode("To be")
    for _ in range(8):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    asked = SamplingSettings(max_new_tokens=8, temperature=0)
    expected = tokenizer.decode(ids[len(tokenizer.encode("To be")) :]).rstrip("\ufffd")
    assert generate(model, tokenizer, ["To be"], settings=asked) == [expected]


@pytest.mark.parametrize("family", ["original", "t5"])
def test_a_model_with_an_encoder_answers_its_prompt(family, writer, tokenizer):
    model, source = writer(family), torch.tensor([tokenizer.encode("To be", special=True)])
    ids = [model.config.start_id]
    for _ in range(8):
        ids.append(int(model(torch.tensor([ids]), source=source)[0, -1].argmax()))
    asked = SamplingSettings(max_new_tokens=8, temperature=0)
    expected = tokenizer.decode(ids[1:]).rstrip("\ufffd")
    assert generate(model, tokenizer, ["To be"], settings=asked) == [expected]
    assert len(generate(model, tokenizer, [""], settings=asked)) == 1


def test_a_model_that_reads_sound_or_names_no_start_says_so(writer, tokenizer):
    with pytest.raises(CheckpointError, match="whisper model reads audio, not text"):
        generate(writer("whisper", dim=36), tokenizer, ["To be"])
    model = writer("t5")
    model.config = dataclasses.replace(model.config, start_id=None)
    with pytest.raises(CheckpointError, match="names no token to begin a text with"):
        generate(model, tokenizer, ["To be"])


def test_beams_and_a_draft_do_not_go_together(writer, tokenizer):
    with pytest.raises(ConfigError, match="takes no draft"):
        generate(writer(), tokenizer, ["To"], beams=BeamSettings(), draft=Lookup())


def test_the_best_of_the_search_is_what_generate_returns(writer, tokenizer):
    model, asked = writer("llama"), SamplingSettings(max_new_tokens=9)
    beams = BeamSettings(n_beams=3, n_best=2)
    answers = search(model, tokenizer, PROMPTS, asked, beams)
    assert generate(model, tokenizer, PROMPTS, settings=asked, beams=beams) == [
        row[0].text for row in answers
    ]
    assert luban.generate(model, tokenizer, PROMPTS, max_new_tokens=9, beams=beams) == [
        row[0].text for row in answers
    ]
    assert all(row[0].score >= row[1].score and row[0].n_tokens <= 9 for row in answers)


def test_the_stream_is_the_text_in_pieces(writer, tokenizer):
    model, asked = writer("llama"), SamplingSettings(max_new_tokens=30, seed=5)
    out = list(stream(model, tokenizer, "今天", asked))
    assert all(out)
    assert "".join(out) == generate(model, tokenizer, ["今天"], settings=asked)[0]


def test_another_seed_writes_another_text(writer, tokenizer):
    model = writer()
    texts = {
        generate(model, tokenizer, ["To"], settings=SamplingSettings(max_new_tokens=12, seed=s))[0]
        for s in (1, 2)
    }
    assert len(texts) == 2


def finishes(model, tokenizer, **settings):
    written = list(write(model, tokenizer, ["To be"], SamplingSettings(temperature=0, **settings)))
    assert all(w.finish is None for w in written[:-1])
    return "".join(w.text for w in written), written[-1].n_tokens, written[-1].finish


def test_writing_stops_at_the_end_token(scripted, tokenizer):
    ids = [*tokenizer.encode("be it"), tokenizer.eos_id, *tokenizer.encode(" more")]
    n_tokens = len(tokenizer.encode("be it")) + 1
    assert finishes(scripted(ids), tokenizer) == ("be it", n_tokens, "stop")


def test_writing_stops_at_a_stop_text(scripted, tokenizer):
    ids = tokenizer.encode("be it or not to be")
    text, n_tokens, finish = finishes(scripted(ids), tokenizer, stop=("or",))
    assert (text, finish) == ("be it ", "stop")
    assert n_tokens < len(ids)


def test_writing_stops_after_so_many_tokens(scripted, tokenizer):
    ids = tokenizer.encode("鲁班")
    assert finishes(scripted(ids), tokenizer, max_new_tokens=len(ids) - 1) == ("鲁", len(ids) - 1, "length")


def test_writing_stops_where_the_context_is_full(scripted, tokenizer):
    n_prompt = len(tokenizer.encode("To be"))
    model = scripted([70] * 99, max_len=n_prompt + 5)
    assert finishes(model, tokenizer, max_new_tokens=50)[1:] == (5, "length")


def test_a_prompt_longer_than_the_context_names_both(writer, tokenizer):
    with pytest.raises(DataError) as error:
        generate(writer(max_len=8), tokenizer, ["the question " * 9])
    assert "and the model's context is 8, answer included\n  fix: shorten it to at most 7 tokens" in str(
        error.value
    )


def test_an_empty_prompt_starts_from_the_start_token(writer, tokenizer):
    assert generate(writer(), tokenizer, [""], settings=SamplingSettings(max_new_tokens=5)) != [""]
    assert generate(writer(), tokenizer, []) == []


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_model_that_cannot_write_says_so(family, tokenizer):
    labels = HeadConfig(kind="classes", n_classes=2, labels=("a", "b"))
    head = labels if family == "gpt2" else HeadConfig()
    config = FAMILIES[family].config("tiny", vocab_size=tokenizer.vocab_size, dim=32, n_layers=1, head=head)
    with pytest.raises(CheckpointError, match="texts and cannot write them"):
        generate(build_model(config), tokenizer, ["To be"])


def test_writing_leaves_a_model_in_training_as_it_was(writer, tokenizer):
    model = writer(dropout=0.5).train()
    asked = SamplingSettings(max_new_tokens=6, temperature=0)
    assert generate(model, tokenizer, ["To"], settings=asked) == generate(
        model, tokenizer, ["To"], settings=asked
    )
    assert model.training


def test_the_package_is_also_the_call(writer, tokenizer):
    model, asked = writer(), SamplingSettings(max_new_tokens=6, temperature=0)
    assert luban.generate(model, tokenizer, ["To"], max_new_tokens=6, temperature=0.0) == generate(
        model, tokenizer, ["To"], settings=asked
    )


def test_a_folder_opens_as_model_and_tokenizer(writer, tokenizer, tmp_path):
    model = writer("llama")
    luban.save(model, tokenizer, tmp_path / "copy")
    again, same = luban.load(str(tmp_path / "copy"))
    assert same.hash == tokenizer.hash
    assert luban.generate(again, same, PROMPTS, seed=2) == luban.generate(model, tokenizer, PROMPTS, seed=2)
    (tmp_path / "copy" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json"):
        luban.load(tmp_path / "copy")
