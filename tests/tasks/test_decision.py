"""What a folder says of how scores are read."""

import numpy as np
import pytest

from luban.errors import CheckpointError
from luban.files import read_json, write_json
from luban.tasks.decision import Decision, read_decision, write_decision

LOGITS = np.array([[2.0, 0.0, -1.0]])


def test_it_is_kept_in_a_key_of_config_json(tmp_path):
    write_json(tmp_path / "config.json", {"model_type": "bert"})
    assert read_decision(tmp_path) == Decision()
    kept = Decision(1.5, (0.25,), 0.9, 16, 8, "max")
    write_decision(kept, tmp_path)
    assert read_decision(tmp_path) == kept
    assert read_json(tmp_path / "config.json")["model_type"] == "bert"


def test_a_temperature_moves_probabilities_and_not_the_label():
    hot, cold = Decision(4.0).probabilities(LOGITS)[0], Decision(0.5).probabilities(LOGITS)[0]
    assert hot.argmax() == cold.argmax() == 0
    assert hot[0] < Decision().probabilities(LOGITS)[0, 0] < cold[0]
    assert hot.sum() == pytest.approx(1)


def test_the_second_of_two_is_said_from_its_threshold_on():
    assert Decision(thresholds=(0.3,)).choice(np.array([0.69, 0.31])) == 1
    assert Decision(thresholds=(0.3,)).choice(np.array([0.71, 0.29])) == 0
    assert Decision().choice(np.array([0.69, 0.31])) == 0


def test_nothing_is_said_below_the_least_probability():
    unsure = Decision(unknown_below=0.8)
    assert unsure.choice(np.array([0.79, 0.21])) is None
    assert unsure.choice(np.array([0.19, 0.81])) == 1


@pytest.mark.parametrize("broken", ["x", {"temperature": 0}, {"temprature": 1}, {"thresholds": ["a"]}, 3])
def test_a_broken_key_is_refused_by_name(tmp_path, broken):
    write_json(tmp_path / "config.json", {"decision": broken})
    with pytest.raises(CheckpointError, match="decision"):
        read_decision(tmp_path)
