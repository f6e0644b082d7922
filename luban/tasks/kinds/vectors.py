"""A vector for every word, from the words around it."""

from luban.tasks.task import Task

TASK = Task(
    name="vectors",
    summary="vectors of words",
    rows={"text": "a document"},
    example={"text": "the carpenter planes the board"},
    settings="luban.tasks.settings:VectorsSettings",
    prepare="luban.tasks.vectors:prepare",
    many=True,
    close="luban.tasks.vectors:close",
    ask_with="inspect neighbours WORD --model",
)
