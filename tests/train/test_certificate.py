"""A run passes the gate unless a property was refuted that it does not do without."""

import json
from pathlib import Path
from typing import Any

import pytest

from luban.errors import GateError
from luban.files import write_json
from luban.log import Log
from luban.runner import UNFINISHED
from luban.train.certificate import (
    CERTIFICATE,
    certificate_key,
    difference_in_words,
    keep_certificate,
    pass_gate,
)

QUIET = Log(quiet=True)


def what(**changes: Any) -> dict[str, Any]:
    settings = {"lr": 0.1, "unproven": [], "on_change": "refuse"} | changes.pop("settings", {})
    usual = {
        "stage": "pretrain",
        "name": "train",
        "settings": settings,
        "inputs": {"shards": "1"},
        "code": "2",
    }
    return usual | changes


def prop(name: str, verdict: str, difference: float | None = 0.0) -> dict[str, Any]:
    return {
        "name": name, "verdict": verdict, "words": f"{name} words", "difference": difference, "tolerance": 1e-5,
        "seconds": 1.0,
    }  # fmt: skip


def certified(*properties: dict[str, Any]) -> None:
    keep_certificate({"key": certificate_key(what()), "properties": list(properties)})


def unfinished(folder: Path, **changes: Any) -> Path:
    write_json(folder / UNFINISHED, what(**changes))
    return folder


def test_a_run_without_a_certificate_passes(tmp_path, capsys):
    pass_gate(unfinished(tmp_path), (), Log())
    pass_gate(tmp_path / "called without the runner", (), Log())
    assert capsys.readouterr() == ("", "")


def test_a_run_that_holds_passes_and_takes_its_certificate_along(tmp_path, capsys):
    certified(prop("packed", "holds"), prop("adapted", "does not apply"))
    pass_gate(unfinished(tmp_path), (), Log())
    assert capsys.readouterr().err == "train: certified: packed\n"
    assert json.loads((tmp_path / CERTIFICATE).read_text())["key"] == certificate_key(what())


def test_a_refuted_property_stops_the_run_and_says_the_word_that_overrides(tmp_path):
    certified(prop("sampled", "holds"), prop("packed", "fails", 0.25))
    with pytest.raises(GateError) as e:
        pass_gate(unfinished(tmp_path), (), QUIET)
    assert "train is not packed" in e.value.problem
    assert "packed words" in e.value.problem
    assert "difference 2.50e-01, at most 1e-05" in e.value.problem
    assert "--set train.unproven=[packed]" in e.value.fix
    assert e.value.exit_code == 3


def test_a_run_that_names_the_property_goes_on(tmp_path, capsys):
    certified(prop("packed", "fails", 0.25), prop("resumed", "holds"))
    changed = {"unproven": ["packed"], "on_change": "continue"}
    pass_gate(unfinished(tmp_path, settings=changed), ("packed",), Log())
    assert "going on though not packed" in capsys.readouterr().err


def test_every_refuted_property_must_be_named(tmp_path):
    certified(prop("packed", "fails", 0.25), prop("resumed", "fails", None))
    with pytest.raises(GateError, match="not resumed") as e:
        pass_gate(unfinished(tmp_path), ("packed",), QUIET)
    assert "unproven=[packed, resumed]" in e.value.fix


@pytest.mark.parametrize(
    "changes", [{"settings": {"lr": 0.2}}, {"inputs": {"shards": "3"}}, {"code": "9"}, {"stage": "classify"}]
)
def test_a_certificate_of_another_run_says_nothing(tmp_path, changes):
    certified(prop("packed", "fails", 0.25))
    pass_gate(unfinished(tmp_path, **changes), (), QUIET)


def test_differences_are_told_in_words():
    assert difference_in_words(prop("packed", "fails", None)) == "nothing to compare with"
    assert (
        difference_in_words(prop("a", "fails", 1.0) | {"tolerance": 0.0})
        == "difference 1.00e+00, none allowed"
    )
