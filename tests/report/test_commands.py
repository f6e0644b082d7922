import shlex
from pathlib import Path

from luban.report.commands import curl_command, repeat_commands, servable, serve_command
from luban.report.facts import read_run


def test_the_run_can_be_repeated_by_its_command_or_its_final_folders(run_folder: Path) -> None:
    commands = repeat_commands(read_run(run_folder))
    assert commands[0] == "luban run recipes/quickstart.yaml"
    assert f"luban run {run_folder}/golden-gpt/recipe.yaml" in commands
    assert f"luban run {run_folder}/clean/recipe.yaml" not in commands


def test_the_best_classifier_of_each_language_is_served_then_the_language_model(run_folder: Path) -> None:
    run = read_run(run_folder)
    assert [s.name for s, _ in servable(run)] == ["minilm-en", "transformer-zh", "gpt"]
    stage, prompt = servable(run)[1]
    assert shlex.split(serve_command(run, stage))[2] == str(run_folder / "transformer-zh")
    assert "这部电影很好看" in curl_command(stage, prompt)


def test_a_prompt_with_quotes_stays_one_argument(run_folder: Path) -> None:
    gpt = next(s for s in read_run(run_folder).stages if s.name == "gpt")
    words = shlex.split(curl_command(gpt, 'it\'s; rm -rf "x"'))
    assert words[-1] == '{"prompt": "it\'s; rm -rf \\"x\\"", "max_tokens": 40}'
