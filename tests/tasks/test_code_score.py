"""Problems, programs and verdicts; what is run here is run in the sandbox, or is a list of outcomes."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from luban.errors import ConfigError, DataError
from luban.log import Log
from luban.sandbox import Outcome
from luban.sandbox.check import what_is_wrong
from luban.tasks import code_score
from luban.tasks.code_problems import PROGRAMS, extract_code, judged_program, read_problem, read_problems
from luban.tasks.code_score import FAILED_EARLY, judge, score
from luban.tasks.code_settings import CodeSettings
from luban.tasks.settings import ScoreSettings

MBPP = {
    "task_id": 3,
    "text": "写一个函数,返回两数之和。",
    "code": "def add(a, b):\r\n    return a + b",
    "test_setup_code": "x = 1",
    "test_list": ["assert add(x, 2) == 3", "assert add(-1, 1) == 0"],
}
HUMANEVAL = {
    "task_id": "1",
    "prompt": 'def double(x):\n    """Return twice x."""\n',
    "entry_point": "double",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "canonical_solution": "    return 2 * x\n",
}


@pytest.fixture(scope="module")
def sandbox() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    if wrong := what_is_wrong():
        pytest.skip(wrong[0])


def pretend(program_of: dict[str, str]):
    """Return a runner that runs nothing, and finds the verdict by a word in the program."""

    def run(files, arguments, limits) -> Outcome:
        program = files["main.py"]
        verdict = next((v for word, v in program_of.items() if word in program), "ok")
        token = program.rsplit("_os.write(1, '", 1)[1].split("'")[0]
        return Outcome(verdict, stdout=token if verdict == "ok" else "", problem=verdict)

    return run


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def scored(tmp_path: Path, rows: list[dict], **code) -> dict:
    settings = ScoreSettings(code=CodeSettings(ask="reference", **code))
    return score(settings, tmp_path / "no-model", write(tmp_path / "rows.jsonl", rows), tmp_path, Log())


def test_reference_solutions_of_both_forms_pass(sandbox, tmp_path: Path) -> None:
    wrong = {**HUMANEVAL, "task_id": "2", "canonical_solution": "    return 3 * x\n"}
    quits = {**HUMANEVAL, "task_id": "4", "canonical_solution": "    import os; os._exit(0)\n"}
    facts = scored(tmp_path, [HUMANEVAL, wrong, MBPP, quits])
    assert facts["metrics"]["pass@1"]["value"] == 0.5
    assert facts["verdicts"] == {"failed": 2, "ok": 2}
    samples = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [s["problem"] for s in samples] == ["", "AssertionError", "", FAILED_EARLY]
    assert "set:humaneval|ask:reference|samples:1|temperature:0" in facts["signature"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["code_humaneval", "code_mbpp_train"])
def test_every_reference_solution_of_the_public_sets_passes(sandbox, tmp_path: Path, name: str) -> None:
    path = Path(__file__).parents[3] / f"shared/data/{name}/data.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"{name} is not here")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        facts = scored(tmp_path, [json.loads(line) for line in lines])
    assert facts["metrics"]["pass@1"]["value"] == 1.0, facts["verdicts"]


def test_sandbox_errors_count_neither_as_right_nor_as_wrong(tmp_path: Path, monkeypatch, capsys) -> None:
    rows = [
        {**HUMANEVAL, "task_id": str(i), "canonical_solution": f"    # {w}\n"} for i, w in enumerate("abc")
    ]
    runner = pretend({"# a": "sandbox_error", "# b": "failed"})
    monkeypatch.setattr(code_score, "_runner", lambda code, log: runner)
    facts = scored(tmp_path, rows)
    assert facts["metrics"]["pass@1"] | {"low": 0, "high": 0} == {"value": 0.5, "n": 2, "low": 0, "high": 0}
    assert facts["verdicts"]["sandbox_error"] == 1
    assert json.loads((tmp_path / "rejects.jsonl").read_text())["reason"] == "sandbox_error: sandbox_error"
    assert "count neither as right nor as wrong" in capsys.readouterr().err


def test_a_sandbox_that_runs_nothing_gives_no_score(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(code_score, "_runner", lambda code, log: pretend({"def": "sandbox_error"}))
    with pytest.raises(ConfigError, match="no program could be run in the sandbox"):
        scored(tmp_path, [HUMANEVAL])


def test_unsafe_execution_says_so_loudly(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(code_score, "run_without_sandbox", pretend({}))
    facts = scored(tmp_path, [HUMANEVAL], unsafe_exec=True)
    assert "WITHOUT a sandbox, with all your rights" in capsys.readouterr().err
    assert "sandbox:no" in facts["signature"]


def test_several_samples_give_pass_at_k() -> None:
    problems = [read_problem(HUMANEVAL)]
    texts = [["# a", "# b", "# b", "# b"]]
    code = CodeSettings(samples=4, k=(1, 2))
    samples = judge(problems, texts, code, pretend({"# b": "failed"}))
    rows, unjudged = code_score._rows(problems, samples, code)
    assert rows[0]["score"] == {"pass@1": pytest.approx(0.25), "pass@2": pytest.approx(0.5)}
    assert rows[0]["verdicts"] == {"ok": 1, "failed": 3}
    assert not unjudged


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "it has neither task_id"),
        ({**HUMANEVAL, "prompt": 3}, "prompt is no text"),
        ({**HUMANEVAL, "test": " "}, "test is empty"),
        ({**HUMANEVAL, "entry_point": "f(); import os"}, "is no name of a function"),
        ({**MBPP, "test_list": "assert 1"}, "test_list is no list"),
        ({**MBPP, "test_list": []}, "test_list is no list"),
        ({**MBPP, "test_list": [1]}, "test_list is no list"),
        ({"unreadable": "line 1 is no JSON"}, "line 1 is no JSON"),
    ],
)
def test_rows_that_are_no_problems_are_set_aside(row: dict, reason: str) -> None:
    problems, rejects = read_problems([HUMANEVAL, row])
    assert len(problems) == 1
    assert rejects[0]["line"] == 2
    assert reason in rejects[0]["reason"]


def test_a_file_without_problems_is_an_error(tmp_path: Path) -> None:
    with pytest.raises((DataError, ConfigError), match="has no problem|bwrap"):
        scored(tmp_path, [{"task_id": 1}])


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("Here:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("```\nx = 1\n```\nand\n```py\ny = 2\n```", "x = 1\n\ny = 2\n"),
        ("```bash\npip install x\n```\n```python\nx = 1\n```", "x = 1\n"),
        ("```python\nx = 1\n```\nIt prints:\n```\n>>> 1\n```", "x = 1\n"),
        ("```python\nx = 1", "x = 1"),
        ("```python\nx = (\n```", "x = (\n"),
        ("x = 1", "x = 1"),
        ("代码如下:\n```python\n名字 = 1\n```", "名字 = 1\n"),
    ],
)
def test_code_is_taken_out_of_an_answer(answer: str, code: str) -> None:
    assert extract_code(answer) == code


def test_an_answer_keeps_what_the_prompt_defines() -> None:
    problem = read_problem({**HUMANEVAL, "prompt": "import math\n\n\ndef double(x):\n    '''Twice.'''\n"})
    program, token = judged_program(
        problem, PROGRAMS["chat"](problem, "```python\ndef double(x): return 2*x\n```")
    )
    assert program.index("import math") < program.index("return 2*x") < program.index("check(double)")
    compile(program, "main.py", "exec")
    assert token in program


def test_k_needs_samples() -> None:
    with pytest.raises(ConfigError, match="pass@10 needs 10 samples"):
        CodeSettings(samples=5, k=(1, 10))
    assert CodeSettings(samples=20).ks == (1, 10)
    assert (CodeSettings().drawn_at, CodeSettings(samples=2).drawn_at) == (0.0, 0.8)
