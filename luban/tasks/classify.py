"""Text classification: rows with labels → a model folder that knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from luban.data.examples import CLASSES, Examples
from luban.errors import DataError
from luban.log import Log
from luban.records import Example
from luban.stages import Facts
from luban.tasks.answers import Answers, one_label
from luban.tasks.classify_settings import ClassifySettings
from luban.tasks.labelling import Labelling, prepare_labelling
from luban.tasks.labelling import train_rows as train_rows
from luban.tasks.prepared import Prepared, train_prepared
from luban.tasks.text_model import advise as advise
from luban.tasks.text_model import advised_lr as advised_lr


def classify(settings: ClassifySettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Train a classifier and leave its best weights in `out`."""
    return train_prepared(prepare(settings, inputs, out, log), out, log)


def prepare(settings: ClassifySettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Prepared:
    """Read the rows and build the model; a tokenizer that is trained on the way is left in `out`."""

    def answers(settings: ClassifySettings, train: Sequence[Example], examples: Examples) -> Answers:
        there = {e.label for e in train}
        labels = [label for label in examples.labels if label in there]
        if len(labels) < 2:
            names = ", ".join(map(repr, labels)) or "none"
            raise DataError(
                f"{inputs['data']}: the training rows hold {len(labels)} label ({names}), and a classifier "
                "needs two",
                fix="check the label column (--set train.columns.label=NAME)",
            )
        return one_label(settings, train, labels)

    task = Labelling(form=CLASSES, answers=answers, keeps=lambda e, known: e.label in known.labels)
    return prepare_labelling(task, settings, inputs, out, log)
