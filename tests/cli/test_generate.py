import json

import pytest

import luban
from luban.cli.main import main
from luban.generate import BeamSettings
from luban.models.build import build_model
from luban.models.families import FAMILIES
from luban.tokenizer.train import train_bpe


@pytest.fixture
def folder(tmp_path):
    tokenizer = train_bpe(["To be, or not to be"] * 3, 270, template=False)
    config = FAMILIES["gpt2"].config(
        "tiny", vocab_size=tokenizer.vocab_size, dim=32, n_layers=1, n_heads=2, max_len=40
    )
    luban.save(build_model(config), tokenizer, tmp_path / "m")
    return str(tmp_path / "m")


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["generate", *arguments])
    return stop.value.code


def test_the_text_follows_its_prompt(folder, capsys):
    assert run(folder, "To be", "--max-new-tokens", "8", "--temperature", "0") == 0
    out = capsys.readouterr().out
    model, tokenizer = luban.load(folder)
    expected = luban.generate(model, tokenizer, ["To be"], max_new_tokens=8, temperature=0.0)[0]
    assert out == f"To be{expected}\n"


def test_json_gives_one_line_a_prompt(folder, capsys):
    assert run(folder, "To be", "or", "--max-new-tokens", "8", "--seed", "3", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["prompt"] for row in rows] == ["To be", "or"]
    assert all(row["finish"] in ("stop", "length") and 1 <= row["n_tokens"] <= 8 for row in rows)


def test_beams_find_what_the_library_finds(folder, capsys):
    assert (
        run(folder, "To be", "--max-new-tokens", "6", "--beams", "3", "--length-penalty", "0.5", "--json")
        == 0
    )
    row = json.loads(capsys.readouterr().out)
    model, tokenizer = luban.load(folder)
    beams = BeamSettings(n_beams=3, length_penalty=0.5)
    assert row["text"] == luban.generate(model, tokenizer, ["To be"], max_new_tokens=6, beams=beams)[0]
    assert row["score"] < 0


def test_the_likeliest_choice_is_named_with_all_probabilities(folder, capsys):
    assert run(folder, "To be", "--choices", " or|, or not") == 0
    text = capsys.readouterr().out
    assert run(folder, "To be", "--choices", " or|, or not", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert text == f"To be{row['text']}\n"
    assert set(row["probabilities"]) == {" or", ", or not"}
    assert max(row["probabilities"], key=row["probabilities"].get) == row["text"]


@pytest.mark.parametrize("draft", ["--lookup", "--draft"])
def test_guesses_do_not_change_the_likeliest_text(folder, draft, capsys):
    more = (draft,) if draft == "--lookup" else (draft, folder)
    for arguments in ((), more):
        assert run(folder, "To be", "--max-new-tokens", "20", "--temperature", "0", *arguments) == 0
    plain, quick = capsys.readouterr().out.splitlines()
    assert plain == quick


def test_penalties_reach_the_choice_of_tokens(folder, capsys):
    for more in ((), ("--repetition-penalty", "9"), ("--no-repeat-ngram", "1")):
        run(folder, "To be", "--temperature", "0", "--max-new-tokens", "20", *more)
    assert len(set(capsys.readouterr().out.splitlines())) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("To be", "--beams", "2", "--lookup"), "--beams and --lookup do not go together"),
        (("To be", "--beams", "2", "--temperature", "0.5"), "beam search draws nothing"),
        (("To be", "--choices", "a|"), "or one is empty"),
        (("To be", "--repetition-penalty", "0"), "repetition_penalty = 0.0 cannot be"),
        (("To be " * 40,), "shorten it to at most 39 tokens"),
        (("To be", "--top-p", "0"), "top_p = 0.0 cannot be"),
    ],
)
def test_mistakes_end_with_code_two_and_a_fix(folder, arguments, message, capsys):
    assert run(folder, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_a_model_is_named(tmp_path, capsys):
    assert run(str(tmp_path), "To be") == 2
    assert "has no" in capsys.readouterr().err
