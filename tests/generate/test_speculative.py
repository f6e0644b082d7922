import pytest
import torch
from torch.testing import assert_close

from luban.errors import CheckpointError, ConfigError
from luban.generate import SamplingSettings, generate, write
from luban.generate.decode import decode
from luban.generate.reader import Prompts
from luban.generate.rules import Suppressed
from luban.generate.speculative import DraftModel, Guess, Lookup, Speculation, accepted
from luban.generate.writing import read_prompts

FAMILIES = ["gpt2", "llama", "qwen3", "original", "t5"]
PROMPTS = ["To be, or not to be, that", "今天今天", "a"]


def greedy(**more):
    return SamplingSettings(temperature=0, **more)


def texts(model, tokenizer, settings, draft):
    found = [""] * len(PROMPTS)
    for piece in write(model, tokenizer, PROMPTS, settings, draft=draft):
        found[piece.row] += piece.text
    return found


@pytest.mark.parametrize(
    "more",
    [{}, {"repetition_penalty": 1.3, "no_repeat_ngram": 3, "presence_penalty": 0.4}],
    ids=["plain", "penalties"],
)
@pytest.mark.parametrize("guess", ["lookup", "draft", "itself"])
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_that_of_one_token_a_step(family, guess, more, writer, tokenizer):
    model = writer(family, max_len=30)
    other = writer(family, n_layers=1, max_len=26) if guess == "draft" else model
    draft = Lookup(min_ngram=1) if guess == "lookup" else DraftModel(other, n_tokens=3)
    settings = greedy(max_new_tokens=40, **more)  # until the context is full
    assert texts(model, tokenizer, settings, draft) == generate(model, tokenizer, PROMPTS, settings=settings)


def steps(model, prompt, settings, draft, **more):
    speculation = Speculation(model, prompt, settings, draft, **more)
    n_steps = 0
    while speculation.rows.going:
        speculation.step()
        n_steps += 1
    return speculation, n_steps


def test_a_model_accepts_all_of_its_own_guesses(writer):
    model = writer("llama")
    speculation, n_steps = steps(
        model, Prompts([[9, 8, 7]]), greedy(max_new_tokens=20), DraftModel(model, n_tokens=4), end_ids=()
    )
    assert (n_steps, speculation.n_accepted, speculation.n_guessed) == (4, 16, 16)


def test_quoting_saves_steps_where_the_text_repeats_itself(writer):
    model, settings = writer("gpt2"), greedy(max_new_tokens=20)
    (text,) = decode(model, Prompts([[9, 8, 7]]), settings, end_ids=())
    prompt = Prompts([[*text[:15], 9, 8, 7]])
    (again,) = decode(model, prompt, settings, end_ids=())
    speculation, n_steps = steps(model, prompt, settings, Lookup(min_ngram=1), end_ids=())
    assert speculation.rows.written == [again]
    assert n_steps == 20 - speculation.n_accepted < 20


def test_a_guess_after_a_bad_one_is_short(writer):
    lengths = []

    class Wrong:
        n_tokens = 8

        def start(self, *_):
            return self

        def guess(self, written, most):
            lengths.append(most)
            return Guess([0] * most)

    steps(
        writer(), Prompts([[9, 8]]), greedy(max_new_tokens=20), Wrong(), end_ids=(), rules=[Suppressed([0])]
    )
    assert lengths == [8, *[1] * 18, 0]


def test_guesses_are_what_followed_the_longest_phrase_before(writer):
    guesser = Lookup(max_ngram=2, min_ngram=1).start(writer(), Prompts([[1, 2, 3, 9, 2, 4]]), greedy(), ())
    assert guesser.guess([1, 2], 3).ids == [3, 9, 2]
    assert guesser.guess([7, 2], 2).ids == [4, 7]  # the latest place
    assert guesser.guess([5], 3).ids == []
    wary = Lookup().start(writer(), Prompts([[1, 2, 3, 9, 2, 4]]), greedy(), ())
    assert (wary.guess([9, 2], 2).ids, wary.guess([7, 2], 2).ids) == ([4, 9], [])


def test_a_source_of_tokens_is_quoted_too(writer, tokenizer):
    prompt = Prompts([[0]], torch.tensor([[5, 6, 7, 8]]))
    assert Lookup().start(writer("t5"), prompt, greedy(), ()).guess([5, 6], 2).ids == [7, 8]


@pytest.mark.parametrize("draft", [Lookup(), "model"], ids=str)
def test_what_ends_a_text_ends_it_within_a_step(draft, writer, tokenizer):
    model = writer("llama")
    draft = DraftModel(model, n_tokens=6) if draft == "model" else draft
    whole = generate(model, tokenizer, ["To be"], settings=greedy(max_new_tokens=30))[0]
    stop = whole[len(whole) // 2 :][:2]
    settings = greedy(max_new_tokens=30, stop=(stop,))
    pieces = list(write(model, tokenizer, ["To be"], settings, draft=draft))
    assert "".join(piece.text for piece in pieces) == whole[: whole.index(stop)]
    assert [piece.finish for piece in pieces if piece.finish] == ["stop"]
    asked = read_prompts(model, tokenizer, ["To be"])
    ids = decode(model, asked, greedy(max_new_tokens=30), end_ids=())[0]
    speculation, _ = steps(model, asked, greedy(max_new_tokens=30), draft, end_ids=[ids[13]])
    assert speculation.rows.written == [ids[: ids.index(ids[13])]]


@pytest.mark.parametrize("is_certain", [True, False], ids=["quoted", "drawn"])
def test_what_is_accepted_follows_the_wanted_probabilities(is_certain):
    wanted = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    drawn = torch.tensor([[0.2, 0.5, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1]])
    chance, n_draws = torch.Generator().manual_seed(3), 2500
    counts, follows = torch.zeros(4), torch.zeros(4)
    for _ in range(n_draws):
        if is_certain:
            guess = Guess([1, 3])
        else:
            guess = Guess(torch.multinomial(drawn, 1, generator=chance).flatten().tolist(), drawn)
        found = accepted(wanted, guess, chance)
        counts[found[0]] += 1
        if len(found) > 1:
            follows[found[1]] += 1
    assert_close(counts / n_draws, wanted[0], atol=0.03, rtol=0)
    assert_close(follows / follows.sum(), wanted[1], atol=0.04, rtol=0)


def test_a_draw_repeats_with_its_seed(writer, tokenizer):
    model, draft = writer("llama"), DraftModel(writer("llama", n_layers=1))
    settings = SamplingSettings(max_new_tokens=12, top_p=0.95, seed=4)
    assert texts(model, tokenizer, settings, draft) == texts(model, tokenizer, settings, draft)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda w: Lookup(n_tokens=0), ConfigError, "n_tokens = 0 cannot be"),
        (lambda w: Lookup(max_ngram=1), ConfigError, "max_ngram = 1 is below min_ngram = 2"),
        (lambda w: DraftModel(w("recurrent")), ConfigError, "recurrent model cannot take back guesses"),
        (lambda w: DraftModel(w("bert")), CheckpointError, "cannot write"),
        (
            lambda w: Speculation(w("recurrent"), Prompts([[5]]), greedy(), Lookup()),
            ConfigError,
            "cannot take back",
        ),
        (
            lambda w: Speculation(w(), Prompts([[5], [6]]), greedy(), Lookup()),
            ConfigError,
            "one prompt at a time, not 2",
        ),
        (
            lambda w: Speculation(w(), Prompts([[5]]), greedy(), DraftModel(w(vocab_size=9))),
            ConfigError,
            "the draft model's vocab_size is 9, the model's is 300",
        ),
        (
            lambda w: Speculation(w(), Prompts([[5]]), greedy(), DraftModel(w("t5"))),
            ConfigError,
            "one of model and draft model reads a source",
        ),
    ],
)
def test_drafts_that_do_not_fit_are_refused(make, kind, message, writer):
    with pytest.raises(kind, match=message):
        make(writer)
