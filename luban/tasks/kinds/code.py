"""Code: programs from their beginning or a description, and what is missing in the middle of one."""

from luban.tasks.task import Task

TASK = Task(
    name="code",
    summary="programs, judged by running them",
    rows={
        "task_id": "name of the problem",
        "prompt": "beginning of a function (HumanEval); or `text`, a sentence (MBPP)",
        "entry_point": "name of the function",
        "test": "a function `check` that asserts; or `test_list`, a list of assertions",
        "canonical_solution": "a solution that goes on from the prompt; or `code`; may be missing",
    },
    example={
        "task_id": "1",
        "prompt": 'def double(x):\n    """Return twice x."""\n',
        "entry_point": "double",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n",
        "canonical_solution": "    return 2 * x\n",
    },
    open="luban.tasks.code_complete:open_completer",
    score="luban.tasks.code_score:score",
    scores_rows=(("prompt", "entry_point", "test"), ("text", "test_list")),
    route="/v1/complete-code",
)
