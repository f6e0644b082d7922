"""Models of texts: they go on with a text, or restore what is hidden from it."""

from luban.tasks.task import Task

TASK = Task(
    name="pretrain",
    summary="a model of texts",
    rows={"text": "a document; `luban data shard` turns documents into the shards that are read"},
    example={"text": "Once upon a time there was a carpenter."},
    settings="luban.tasks.settings:PretrainSettings",
    prepare="luban.tasks.pretrain:prepare",
    data="shards",
    many=True,
    takes=("model",),
    close="luban.tasks.pretrain_score:close",
    heads=("tokens",),
    ask_with="generate",
    score="luban.tasks.pretrain_score:score",
)
