"""Problems, programs and verdicts; what is run here is run in the sandbox, or is a list of outcomes."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from luban.errors import ConfigError, DataError
from luban.log import Log
from luban.sandbox import Outcome, run_in_sandbox
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
        verdict = next((v for word, v in program_of.items() if word in files["program.py"]), "ok")
        mark = files["secret"].split("\n")[0]
        return Outcome(verdict, stdout=mark if verdict == "ok" else "", problem=verdict)

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
    files, mark = judged_program(
        problem, PROGRAMS["chat"](problem, "```python\ndef double(x): return 2*x\n```")
    )
    program = files["program.py"]
    assert program.index("import math") < program.index("return 2*x")
    compile(program, "program.py", "exec")
    assert mark not in program
    assert files["secret"].startswith(f"{mark}\ndouble\ndef check(candidate)")


FORGED = {
    "reads what judges it": "import os\nfor n in os.listdir('.'): os.write(1, open(n, 'rb').read())\nos._exit(0)",
    "ends early": "import os; print('passed'); os._exit(0)",
    "hides what is built in": "def abs(x): return 0",
    "changes what is built in": "import builtins, math, sys\nbuiltins.abs = lambda x: 0\n"
    "math.isclose = lambda *a: True\nbuiltins.vars = lambda *a: {}\nsys.settrace = lambda *a: None",
    "changes who judges it": "import sys\nf = sys._getframe()\nwhile f:\n    f.f_globals['exec'] = lambda *a: 0\n"
    "    f = f.f_back",
    "leaves the tests out": "import sys\ndef skip(frame, event, value):\n    try: frame.f_lineno = 10**6\n"
    "    except ValueError: pass\n    return skip\nsys.settrace(skip)",
    "writes everywhere": "import os\nfor fd in range(3, 20):\n    try: os.write(fd, b'passed')\n    except OSError: pass",
    "ends the other process": "import os; os.kill(os.getppid(), 9)",
    "lets a child claim it": "import os\nif os.fork(): os.wait(); os._exit(0)",
}
LIAR = "    return Right()\nclass Right:\n    def __eq__(self, other): return True\n    def __sub__(self, other): return 0\n"


def verdicts_of(solutions: list[str]) -> list[Outcome]:
    test = "def check(candidate):\n    assert abs(candidate(2) - 4) < 1\n    assert math.isclose(candidate(3), 6)\n"
    problem = read_problem({**HUMANEVAL, "prompt": "import math\n" + HUMANEVAL["prompt"], "test": test})
    code = CodeSettings(samples=len(solutions), k=(1,), workers=2)
    samples = judge([problem], [["\n" + text for text in solutions]], code, run_in_sandbox)
    return [sample.outcome for sample in samples]


def test_the_mark_of_success_cannot_be_read_and_no_answer_says_itself_that_it_is_right(sandbox) -> None:
    reads = "    return 0\n" + FORGED["reads what judges it"]
    assert [o.problem for o in verdicts_of([reads, LIAR])] == [
        FAILED_EARLY,
        "AssertionError: an answer that is equal to everything",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("how", sorted(FORGED))
def test_success_cannot_be_claimed(sandbox, how: str) -> None:
    wrong, right = verdicts_of([f"    return 0\n{FORGED[how]}\n", "    return 2 * x\n"])
    assert (wrong.verdict, right.verdict) == ("failed", "ok"), wrong


@pytest.mark.slow
def test_programs_are_the_main_module_with_their_text_beside_them(sandbox) -> None:
    program = (
        "    return 2 * x\nimport asyncio, dataclasses, inspect, pickle, functools\n@dataclasses.dataclass\n"
        "class P:\n    x: int\nassert pickle.loads(pickle.dumps(P(1))) == P(1)\nasync def go(): pass\n"
        "asyncio.run(go())\nassert 'return 2' in inspect.getsource(double)\n"
        "double = functools.lru_cache(double)\nassert __name__ == '__main__'\n"
    )
    assert verdicts_of([program])[0].verdict == "ok"


def test_k_needs_samples() -> None:
    with pytest.raises(ConfigError, match="pass@10 needs 10 samples"):
        CodeSettings(samples=5, k=(1, 10))
    assert CodeSettings(samples=20).ks == (1, 10)
    assert (CodeSettings().drawn_at, CodeSettings(samples=2).drawn_at) == (0.0, 0.8)
