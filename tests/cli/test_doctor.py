from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from luban.plan import doctor
from luban.plan.doctor import Check

if TYPE_CHECKING:
    from tests.cli.conftest import Command


def test_json_lists_every_check_with_its_verdict(command: Command) -> None:
    answer = command("doctor", "--json")
    report = json.loads(answer.out)
    names = {c["name"] for c in report["checks"]}
    assert names >= {"python", "luban", "torch", "compiler", "cores", "memory", "disk here", "writing here"}
    assert {c["verdict"] for c in report["checks"]} <= {"ok", "warning", "problem"}
    assert all(c["fix"] for c in report["checks"] if c["verdict"] != "ok")
    assert answer.code == (0 if report["usable"] else 2)


@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("warning", 0), ("problem", 2)])
def test_only_a_problem_fails(
    command: Command, monkeypatch: pytest.MonkeyPatch, verdict: doctor.Verdict, code: int
) -> None:
    checks = [Check("disk", verdict, "3 MB free", "free some space"), Check("python", "ok", "3.12")]
    monkeypatch.setattr(doctor, "examine", lambda out: checks)
    answer = command("doctor")
    assert answer.code == code
    assert "3 MB free" in answer.out
    assert "free some space" in answer.out
